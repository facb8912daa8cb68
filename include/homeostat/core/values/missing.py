"""Words and signs for "missing" in a column of numbers or dates.

In a column of text they are values: a region may be called ``NA``. There only what the format of the
file calls null is missing, and the empty text, which CSV cannot tell from it.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

#: Words that mean a missing number or date, in lower case; upper and lower case do not matter.
MISSING_WORDS = frozenset(
    [
        *("", "na", "n/a", "#n/a", "#na", "<na>", "#n/a n/a", "nan", "-nan", "nat"),
        *("null", "none", "nil", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"),
    ]
)
#: Signs that mean the same beside numbers and dates: of SAS and Stata, of SQL dumps, and of people. Among
#: categories a sign is a value, also where all others are numbers.
MISSING_SIGNS = frozenset([".", "\\n", "-", "--", "---", "–", "—", "?"])  # \N in lower case
_WORDS = pa.array(sorted(MISSING_WORDS | MISSING_SIGNS), pa.string())
#: The usual spellings, to be found without changing the case of each cell.
_SPELLED = pa.array(
    sorted(
        {form for word in MISSING_WORDS | MISSING_SIGNS for form in (word, word.upper(), word.title())}
        | {"NaN", "NaT"}
    ),
    pa.string(),
)


def is_missing_word(texts: pa.Array) -> pa.Array:
    """Return for each text whether it is a word or sign for "missing"; blanks around it do not matter."""
    return pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(texts)), value_set=_WORDS.cast(texts.type))


def is_usual_spelling(texts: pa.Array) -> pa.Array:
    """Return the same for the usual spellings alone, at a tenth of the cost."""
    return pc.is_in(texts, value_set=_SPELLED.cast(texts.type))


def is_missing_sign(text: str) -> bool:
    """Return whether a text is one of :data:`MISSING_SIGNS`; blanks around it do not matter."""
    return text.strip().lower() in MISSING_SIGNS
