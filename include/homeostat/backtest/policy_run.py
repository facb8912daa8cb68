"""What a policy did, window by window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from homeostat.backtest.windows import Span

Event = Literal["retrain", "recall"]
#: Told after every window.
Tick = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Turn:
    """One window: how the version that served it did, and what was decided at its end.

    ``event`` is ``retrain`` when a version was fitted (or would have been, had it not failed), ``recall``
    when a former champion was tried again; ``promoted`` says that another version serves from here on.
    """

    span: Span
    rows: int
    score: float | None
    version: str
    event: Event | None = None
    reason: str = ""
    promoted: bool = False
    sentence: str = ""
    fitted: bool = False
    notice: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "start": self.span.first.isoformat(),
            "end": self.span.last.isoformat(),
            "rows": self.rows,
            "score": self.score,
            "version": self.version,
            "event": self.event,
            "reason": self.reason,
            "promoted": self.promoted,
            "sentence": self.sentence,
        }


@dataclass(frozen=True, slots=True)
class Promotion:
    """At the end of window ``number``, ``new`` took over from ``old``; both are keys of the bench."""

    number: int
    old: str
    new: str
    old_version: str
    new_version: str


@dataclass(slots=True)
class Played:
    """A policy's whole run."""

    turns: list[Turn] = field(default_factory=list)
    promotions: list[Promotion] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def add(self, turn: Turn, key: str) -> None:
        """Note a window, and by which key of the bench it was answered."""
        self.turns.append(turn)
        self.keys.append(key)

    @property
    def retrains(self) -> int:
        """Versions fitted, the first not counted."""
        return sum(turn.fitted for turn in self.turns)

    @property
    def promoted(self) -> int:
        """How often another version took over."""
        return sum(turn.promoted for turn in self.turns)

    @property
    def refused(self) -> int:
        """Retrains and recalls after which nothing changed."""
        return sum(turn.event is not None and not turn.promoted for turn in self.turns)
