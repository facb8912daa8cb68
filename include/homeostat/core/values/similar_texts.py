"""Find categories that differ only in upper and lower case or blanks: yes, Yes and "yes "."""

from __future__ import annotations

from collections.abc import Iterable

#: Of more categories than this, such as names, nothing is said.
MAX_DISTINCT = 1_000
_SHOWN = 3


def similar_texts(texts: Iterable[str]) -> list[list[str]]:
    """Return the groups of texts that differ only in case or blanks, those with the most texts first."""
    groups: dict[str, list[str]] = {}
    distinct = sorted(set(texts))
    if len(distinct) > MAX_DISTINCT:
        return []
    for text in distinct:
        groups.setdefault(" ".join(text.casefold().split()), []).append(text)
    return sorted(
        (group for group in groups.values() if len(group) > 1), key=lambda group: (-len(group), group)
    )


def similar_note(texts: Iterable[str], remedy: str = "write them alike") -> str:
    """Return the sentence that names such texts, and what to do; empty when there are none."""
    groups = similar_texts(texts)
    if not groups:
        return ""
    named = [text for group in groups for text in group]
    shown = ", ".join(map(repr, named[:_SHOWN])) + (", ..." if len(named) > _SHOWN else "")
    return f"{shown} differ only in upper and lower case or blanks, and are different values: {remedy}"
