"""What a check finds, in words; and the two reasons for which it finds nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal

State = Literal["ok", "warning", "broken", "skipped"]

#: A service has so many seconds to take a connection, and to answer.
CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 5.0
#: A check that has not come back by then is given up, whatever it waits for: a busy machine is slow as well.
LIMIT = 20.0
_WORST: tuple[State, ...] = ("broken", "warning", "ok")


@dataclass(frozen=True, slots=True)
class Finding:
    """How it is, in a sentence; ``cure`` is what to do about it, empty when nothing is to be done."""

    state: State
    sentence: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A finding about something: ``name`` says what was asked, ``about`` of what."""

    name: str
    about: str
    state: State
    sentence: str
    cure: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Probe:
    """A check that has yet to be made. ``look`` may raise whatever it likes; ``limit`` is in seconds."""

    name: str
    about: str
    look: Callable[[], Finding]
    cure: str = ""
    limit: float = LIMIT


class Skipped(Exception):
    """It makes no sense to look, and why; what it would need has a check of its own."""


class NotAllowed(Exception):
    """AWS does not let these credentials look; the message names the action."""


def ok(sentence: str) -> Finding:
    """Nothing is to be done."""
    return Finding("ok", sentence)


def warning(sentence: str, cure: str) -> Finding:
    """It works, and will not for ever, or not as it was meant to."""
    return Finding("warning", sentence, cure)


def broken(sentence: str, cure: str) -> Finding:
    """It does not do what it is there for."""
    return Finding("broken", sentence, cure)


def skipped(why: str) -> Finding:
    """Nobody looked."""
    return Finding("skipped", why)


def verdict(checks: Iterable[Check]) -> State:
    """The worst of them; what was skipped says nothing."""
    states = {check.state for check in checks}
    return next((state for state in _WORST if state in states), "ok")


def span(duration: timedelta) -> str:
    """A duration as one says it: ``40 s``, ``12 min``, ``5 h``, ``3 days``."""
    seconds = abs(duration.total_seconds())
    for unit, size, least in (("days", 86_400, 2 * 86_400), ("h", 3_600, 2 * 3_600), ("min", 60, 120)):
        if seconds >= least:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
