"""The record of one policy's run: a result per window, and its promotions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from homeostat.backtest.windows import Window

WindowEvent = Literal["retrain", "reinstate"]
#: Called after every window.
Progress = Callable[[], None]


@dataclass(frozen=True, slots=True)
class WindowResult:
    """One window: the score of the version that served it, and the decision at its end.

    ``event`` is ``retrain`` for a retrain (``fitted``: it produced a version), ``reinstate`` for an attempt
    to promote a former champion. ``promoted``: another version serves from the next window on.
    """

    window: Window
    rows: int
    score: float | None
    version: str
    event: WindowEvent | None = None
    reason: str = ""
    promoted: bool = False
    sentence: str = ""
    fitted: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "start": self.window.actual_start.isoformat(),
            "end": self.window.actual_end.isoformat(),
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
    """At the end of window ``index``, the version with key ``new`` replaced the one with key ``old``."""

    index: int
    old: str
    new: str
    old_version: str
    new_version: str


@dataclass(slots=True)
class PolicyRun:
    """A policy's whole run. ``keys[i]`` is the cache key of the version that served window ``i``."""

    results: list[WindowResult] = field(default_factory=list)
    promotions: list[Promotion] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def add(self, result: WindowResult, key: str) -> None:
        """Append a window's result and the key of the version that served it."""
        self.results.append(result)
        self.keys.append(key)

    @property
    def retrains(self) -> int:
        """Number of versions fitted, without the first."""
        return sum(result.fitted for result in self.results)

    @property
    def promoted(self) -> int:
        """Number of promotions."""
        return sum(result.promoted for result in self.results)

    @property
    def refused(self) -> int:
        """Number of retrains and reinstatements after which the champion stayed."""
        return sum(result.event is not None and not result.promoted for result in self.results)
