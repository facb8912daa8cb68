"""Find the name that was probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_MARKS = re.compile(r"[\W_]+")


def near_name(name: str, others: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the most similar of other names, empty for none; case, blanks and marks count for little."""
    by_letters: dict[str, str] = {}
    for other in others:
        by_letters.setdefault(_letters(other), other)
    near = difflib.get_close_matches(_letters(name), by_letters, n=1, cutoff=cutoff)
    return by_letters[near[0]] if near else ""


def _letters(name: str) -> str:
    return _MARKS.sub("", name).casefold() or name
