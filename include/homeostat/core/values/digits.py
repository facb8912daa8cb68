"""Even out how cells are written before numbers and dates are looked for: foreign digits, Excel's ="12.3"."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_WIDE = "０１２３４５６７８９．，－＋％（）／：　"
_ARABIC, _PERSIAN = "٠١٢٣٤٥٦٧٨٩٫٬٪", "۰۱۲۳۴۵۶۷۸۹"
_ASCII = str.maketrans(_WIDE + _ARABIC + _PERSIAN, "0123456789.,-+%()/: " + "0123456789.,%" + "0123456789")
_OTHER_DIGIT = "[０-９٠-٩۰-۹]"


def even_digits(texts: pa.Array) -> pa.Array:
    """Return texts with the digits and signs of East Asia and Arabic in ASCII, and what ="12.3" quotes."""
    texts = _ascii_digits(texts)
    if pc.any(pc.starts_with(texts, '="')).as_py():
        texts = pc.replace_substring_regex(texts, '^="([^"]*)"$', r"\1")
    return texts


def _ascii_digits(texts: pa.Array) -> pa.Array:
    if pc.all(pc.string_is_ascii(texts)).as_py() is not False:
        return texts
    found = pc.match_substring_regex(texts, _OTHER_DIGIT)
    if not pc.any(found).as_py():
        return texts
    even = [text.translate(_ASCII) for text in texts.filter(found).to_pylist()]
    return pc.replace_with_mask(texts, found, pa.array(even, texts.type))
