"""A story: a title, the decision in one sentence, and sections that give its figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its lines; each line is a sentence or a row of figures, without markup."""

    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """What was decided and why.

    Parameters
    ----------
    word
        The reason or the outcome, a word of docs/reasons.md; "" where the record has none.
    sections
        Those with something to say, the most important first.
    """

    model: str
    title: str
    word: str
    sentence: str
    sections: tuple[Section, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


def sections(*parts: tuple[str, Iterable[str]]) -> tuple[Section, ...]:
    """Return the sections of (heading, lines), without empty ones."""
    found = (Section(heading, tuple(line for line in lines if line)) for heading, lines in parts)
    return tuple(section for section in found if section.lines)


def utc(at: datetime) -> str:
    """Return a time as people read it: ``2026-01-05 07:00 UTC``."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def full_stop(text: str) -> str:
    """Return the text with one full stop at its end; "" stays empty."""
    text = text.strip().rstrip(".")
    return f"{text}." if text else ""


def count(number: float, noun: str) -> str:
    """Return a number with its noun: ``1 window``, ``2.5 windows``."""
    return f"{number:.3g} {noun}{'' if number == 1 else 's'}"
