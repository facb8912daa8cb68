"""The record of one policy's run: a result per window, and its promotions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from homeostat.backtesting.windows import Window

WindowEvent = Literal["retrain", "reinstate", "probe"]
#: Called after every window.
Progress = Callable[[], None]


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A version that was rolled back: in which stage of its rollout, when and why."""

    version: str
    stage: str
    at: datetime
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "version": self.version,
            "stage": self.stage,
            "at": self.at.isoformat(),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class WindowResult:
    """One window: the score of the version that served it, and the decision at its end.

    ``event`` is ``retrain`` for a retrain (``fitted``: it produced a version), ``reinstate`` for an attempt
    to promote a former champion, ``probe`` for a retrain that ended after its probe: it was not worth its
    cost. ``candidate`` is the version that went into its rollout, ``refused`` says
    why there is none. ``promoted``: a candidate became champion in this window. ``rolled_back`` says why a
    candidate, or the champion, was rolled back in it, and in which stage.
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
    candidate: str = ""
    refused: str = ""
    rolled_back: tuple[RolledBack, ...] = ()

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
            "refused": self.refused,
            "rolled_back": [each.to_json() for each in self.rolled_back],
        }


@dataclass(frozen=True, slots=True)
class Promotion:
    """In window ``index``, the version with key ``new`` replaced the one with key ``old``.

    ``until`` is the window in which ``new`` was rolled back; None: it was not.
    """

    index: int
    old: str
    new: str
    old_version: str
    new_version: str
    until: int | None = None


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
    def probes(self) -> int:
        """Number of probes that no retrain followed."""
        return sum(result.event == "probe" for result in self.results)

    @property
    def promoted(self) -> int:
        """Number of promotions."""
        return sum(result.promoted for result in self.results)

    @property
    def refused(self) -> int:
        """Number of retrains and reinstatements whose candidate never got traffic: refused before it."""
        return sum(bool(result.refused) for result in self.results)

    @property
    def rolled_back(self) -> list[RolledBack]:
        """Candidates and champions that were rolled back, in order."""
        return [each for result in self.results for each in result.rolled_back]
