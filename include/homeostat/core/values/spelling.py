"""Decide how the numbers of each file of a column are spelled, from all files of both tables.

The spelling that reads the most rows of a file is the file's. Where it leaves the decimal mark open
(``1,234`` and nothing else), the other files decide. Where they do not either, a comma is one between
thousands and a point is a decimal point; a table in which both stand like that is not read at all.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import TypeVar

import numpy as np

from homeostat.core.values.numbers import CANDIDATES, DECIMALS, PLAIN, NumberEvidence, Spelling

File = TypeVar("File", bound=Hashable)

_COMMA = CANDIDATES.index(Spelling(","))
_COMMA_THOUSANDS = CANDIDATES.index(Spelling(".", ","))
_PLAIN = CANDIDATES.index(PLAIN)


def decide_spelling(own: NumberEvidence, others: Iterable[NumberEvidence] = ()) -> Spelling:
    """Return the spelling of a file or column.

    Parameters
    ----------
    others
        The evidence of the same column elsewhere; it decides only what ``own`` leaves open.
    """
    return _decide(own, _known_marks(others) if _is_open(own) else ())


def decide_spellings(evidence: Mapping[File, NumberEvidence]) -> dict[File, Spelling]:
    """Return the spelling of each file, from all files of a column in both tables."""
    known = _known_marks(evidence.values())
    return {file: _decide(each, known) for file, each in evidence.items()}


def has_mixed_marks(table: Iterable[NumberEvidence], column: Iterable[NumberEvidence]) -> bool:
    """Return whether a table has numbers like ``1,234`` and like ``1.234``, and nothing tells what they are.

    Parameters
    ----------
    table, column
        The evidence of the table's files, and of all files of both tables.
    """
    if _known_marks(column):
        return False
    found = [each.best[1] for each in table if each.readable]
    commas = any(best[_COMMA_THOUSANDS] and not best[_PLAIN] for best in found)
    return commas and any(not best[_COMMA] for best in found)


def has_marks_between_thousands(evidence: Iterable[NumberEvidence]) -> bool:
    """Return whether a file has numbers like ``1,234``, in which the comma may be the decimal mark."""
    return any(
        each.readable and not each.best[1][_PLAIN] and each.best[1][_COMMA_THOUSANDS] for each in evidence
    )


def _known_marks(evidence: Iterable[NumberEvidence]) -> set[str]:
    """Return the decimal marks of the files that leave no doubt."""
    marks = [each.decimals() for each in evidence]
    return {mark for each in marks if len(each) == 1 for mark in each}


def _is_open(own: NumberEvidence) -> bool:
    """Return whether a file has marks, and both decimal marks read the same rows."""
    return len(own.decimals()) == 2 and not own.best[1].all()


def _decide(own: NumberEvidence, known: Collection[str]) -> Spelling:
    if not own.readable:
        return PLAIN
    unit, best = own.best
    if len(known) == 1 and _is_open(own):
        best = best & np.isin(DECIMALS, list(known))
    found = CANDIDATES[int(np.argmax(best))]
    doubtful = found.thousands == "," and bool((best & (DECIMALS == ",")).any())
    return Spelling(found.decimal, found.thousands, unit, doubtful)
