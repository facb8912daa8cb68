"""Words and signs for "missing" in a column of numbers or dates, or of categories that are all numbers.

In a column of text they are values: a region may be called ``NA``. There only what the format of the
file calls null is missing, and the empty text, which CSV cannot tell from it.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

#: Words that mean a missing number or date, in lower case; upper and lower case do not matter.
MISSING_WORDS = frozenset(
    [
        *("", "na", "n/a", "#n/a", "#na", "<na>", "#n/a n/a", "nan", "-nan", "nat"),
        *("null", "none", "nil", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"),
    ]
)
#: Signs that mean the same: of SAS and Stata, of SQL dumps, and of people.
MISSING_SIGNS = frozenset([".", "\\n", "-", "--", "---", "–", "—", "?"])  # \N in lower case
_NAMED = 3
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


def is_missing_text(text: str) -> bool:
    """Return the same as :func:`is_missing_word` for one text."""
    return text.strip().lower() in MISSING_WORDS | MISSING_SIGNS


def missing_note(words: Mapping[str, int]) -> str:
    """Return which words were read as missing, most frequent first; empty where only blank ones were.

    Parameters
    ----------
    words
        The rows of each.
    """
    shown = {word: rows for word, rows in words.items() if word.strip()}
    if not shown:
        return ""
    ranked = sorted(shown, key=lambda word: (-shown[word], word))
    names = ", ".join(map(repr, ranked[:_NAMED])) + (", ..." if len(ranked) > _NAMED else "")
    rows = sum(shown.values())
    return f"{names} {'is' if len(ranked) == 1 else 'are'} read as missing ({rows:,} row{'s' * (rows > 1)})"
