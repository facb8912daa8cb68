"""Findings, checks and probes, and the exceptions that end a check without a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal

State = Literal["ok", "warning", "broken", "skipped"]

#: Time limits of one request to a service, in seconds.
CONNECT_SECONDS, RESPONSE_SECONDS = 2.0, 5.0
#: Time limit of one check, in seconds; generous, because a busy machine is slow.
TIME_LIMIT = 20.0
_WORST_FIRST: tuple[State, ...] = ("broken", "warning", "ok")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. ``remedy`` says what to do; it is empty when there is nothing to do."""

    state: State
    sentence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A finding with the ``name`` of the check and what it is ``about``, such as a model or an address."""

    name: str
    about: str
    state: State
    sentence: str
    remedy: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Probe:
    """A check to run. ``check`` may raise any exception; ``limit`` is in seconds.

    ``remedy`` is shown when the check raises an error or exceeds its limit.
    """

    name: str
    about: str
    check: Callable[[], Finding]
    remedy: str = ""
    limit: float = TIME_LIMIT


class Skipped(Exception):
    """The check cannot run, and why. What it depends on has a check of its own."""


class NotAllowed(Exception):
    """These AWS credentials lack a permission; the message is the name of the action."""


def ok(sentence: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding("ok", sentence)


def warning(sentence: str, remedy: str) -> Finding:
    """Return a finding for a part that works, but not as intended or not for long."""
    return Finding("warning", sentence, remedy)


def broken(sentence: str, remedy: str) -> Finding:
    """Return a finding for a part that does not work."""
    return Finding("broken", sentence, remedy)


def skipped(why: str) -> Finding:
    """Return a finding for a check that did not run."""
    return Finding("skipped", why)


def overall_state(checks: Iterable[Check]) -> State:
    """Return the worst state; skipped checks do not count."""
    states = {check.state for check in checks}
    return next((state for state in _WORST_FIRST if state in states), "ok")


def format_span(duration: timedelta) -> str:
    """Return a duration in its largest fitting unit: ``40 s``, ``12 min``, ``5 h``, ``3 days``."""
    seconds = abs(duration.total_seconds())
    for unit, size, least in (("days", 86_400, 2 * 86_400), ("h", 3_600, 2 * 3_600), ("min", 60, 120)):
        if seconds >= least:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
