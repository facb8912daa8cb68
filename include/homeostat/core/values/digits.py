"""Write the digits and signs of East Asia and Arabic as ASCII, so that numbers and dates are found."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_WIDE = "０１２３４５６７８９．，－＋％（）／：　"
_ARABIC, _PERSIAN = "٠١٢٣٤٥٦٧٨٩٫٬٪", "۰۱۲۳۴۵۶۷۸۹"
_ASCII = str.maketrans(_WIDE + _ARABIC + _PERSIAN, "0123456789.,-+%()/: " + "0123456789.,%" + "0123456789")
_OTHER_DIGIT = "[０-９٠-٩۰-۹]"


def ascii_digits(texts: pa.Array) -> pa.Array:
    """Return texts with such digits in ASCII digits and signs, and the others as they are."""
    if pc.all(pc.string_is_ascii(texts)).as_py() is not False:
        return texts
    found = pc.match_substring_regex(texts, _OTHER_DIGIT)
    if not pc.any(found).as_py():
        return texts
    even = [text.translate(_ASCII) for text in texts.filter(found).to_pylist()]
    return pc.replace_with_mask(texts, found, pa.array(even, texts.type))
