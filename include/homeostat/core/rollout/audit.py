"""Make every recorded decision again, from its record alone, and compare the outcome with the record.

A ledger event holds the state after it, the evidence, the results of the checks and the reason. Together with
the state of the event before, these are all inputs of the decision. A request of a person is not a decision:
there the recorded state must be what the request makes of the state before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from homeostat.config.errors import HomeostatError
from homeostat.core.rollout.champion_watch import champion_watch
from homeostat.core.rollout.decide import WORDING, Decision, decide_rollout
from homeostat.core.rollout.event_kinds import EventKind
from homeostat.core.rollout.evidence import evidence_from_json
from homeostat.core.rollout.health import HealthCheckResult
from homeostat.core.rollout.phases import RULES, Phase, Traffic
from homeostat.core.rollout.transitions import (
    Transition,
    approve,
    begin,
    is_manual,
    promote,
    roll_back,
    without_supersedes_note,
)

#: Steps that no request can make.
_ONLY_DECIDED = frozenset({EventKind.SHADOW, EventKind.CANARY, EventKind.EXTENDED, EventKind.CLOCK_RESET})


class RecordedEvent(Protocol):
    """An event as the ledger returns it."""

    @property
    def revision(self) -> int:
        """The revision that the event made."""

    @property
    def at(self) -> datetime:
        """When it was written."""

    @property
    def kind(self) -> str:
        """The transition's kind."""

    @property
    def reason(self) -> str:
        """The transition's reason."""

    @property
    def traffic(self) -> Mapping[str, Any]:
        """The state after it, as plain JSON."""

    @property
    def evidence(self) -> Mapping[str, Any]:
        """``checks`` and ``tallies`` as plain JSON; empty for a request of a person."""


@dataclass(frozen=True, slots=True)
class RecomputedStep:
    """The outcome of deciding again. ``difference`` is empty when the record agrees."""

    revision: int
    kind: str
    decided: bool
    difference: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the outcome is the recorded one."""
        return not self.difference

    @property
    def sentence(self) -> str:
        """The outcome in a few words."""
        if self.difference:
            return f"revision {self.revision}, {self.kind}: {self.difference}"
        how = "the recorded evidence gives the same decision" if self.decided else "matches the request"
        return f"revision {self.revision}, {self.kind}: {how}"


def recompute(before: Traffic, event: RecordedEvent) -> RecomputedStep:
    """Make one recorded step again.

    The kind, the reason, the state after it and every check's verdict must be the same. Figures may differ in
    their last digits between versions of SciPy and are not compared, nor are reasons of a decision that an
    earlier release worded differently (see :data:`~homeostat.core.rollout.decide.WORDING`). Health checks of
    other rules than today's (:data:`~homeostat.core.rollout.phases.RULES`) are not run again: the decision
    must follow from their recorded verdicts.

    Parameters
    ----------
    before
        The state that the event changed; no revision may lie between.
    """
    after = Traffic.from_json(dict(event.traffic))
    decided = _is_decided(event)
    if after.revision != before.revision + 1:
        difference = f"follows revision {before.revision}: the revisions between are missing"
    else:
        try:
            difference = _recompute(before, after, event, decided=decided)
        except (HomeostatError, KeyError, TypeError, ValueError) as error:
            difference = f"cannot be recomputed: {error}"
    return RecomputedStep(event.revision, event.kind, decided, difference)


def _recompute(before: Traffic, after: Traffic, event: RecordedEvent, *, decided: bool) -> str:
    now = _moment(after, event)
    if not decided:
        return _difference(_requested(before, after, event, now), event)
    evidence = evidence_from_json(event.evidence.get("tallies") or {})
    if before.active is None:
        decision = champion_watch(before, evidence, now)
    else:
        decision = decide_rollout(before, evidence, now, checks=_checks_of_other_rules(event))
    difference = _difference(decision.transition, event, decided=True)
    return difference or _verdict_difference(decision, event.evidence.get("checks") or ())


def _checks_of_other_rules(event: RecordedEvent) -> tuple[HealthCheckResult, ...] | None:
    if event.evidence.get("rules", 1) == RULES:
        return None
    return tuple(HealthCheckResult.from_json(check) for check in event.evidence.get("checks") or ())


def recompute_all(model: str, events: Iterable[RecordedEvent]) -> list[RecomputedStep]:
    """Make all of a model's recorded steps again, oldest event first, starting with nothing served."""
    found, before = [], Traffic(model)
    for event in events:
        found.append(recompute(before, event))
        before = Traffic.from_json(dict(event.traffic))
    return found


def _moment(after: Traffic, event: RecordedEvent) -> datetime:
    """Return the time of the decision: when a new phase began, else that of the event."""
    if after.rollout is None or _kind(event) in (EventKind.EXTENDED, EventKind.APPROVED):
        return event.at
    return after.rollout.entered_at


def _kind(event: RecordedEvent) -> EventKind | None:
    """Return the event's kind; None for an unknown one."""
    with suppress(ValueError):
        return EventKind(event.kind)
    return None


def _is_decided(event: RecordedEvent) -> bool:
    """Whether the step was decided from evidence, not requested; a decision may have had empty evidence."""
    if _kind(event) in _ONLY_DECIDED or event.evidence.get("tallies"):
        return True
    known = {f"{check['name']} failed: " for check in event.evidence.get("checks") or ()}
    decided = ("inconclusive after ", "champion failed: ", "canary passed", "first version: a gateway ")
    return event.reason.startswith((*decided, *known))


def _requested(before: Traffic, after: Traffic, event: RecordedEvent, now: datetime) -> Transition:
    """Return what the recorded request makes of the state before."""
    rollout, kind = after.rollout, _kind(event)
    if rollout is None:
        msg = "the record has no rollout"
        raise ValueError(msg)
    begun = before.rollout is None or before.rollout.id != rollout.id
    if begun and not is_manual(rollout.id):
        return begin(
            before,
            rollout.candidate,
            rollout.id,
            rollout.plan,
            now,
            forced=rollout.forced,
            serve=kind is EventKind.BEGUN,
        )
    if kind is EventKind.APPROVED:
        return approve(before, now)
    if kind is EventKind.PROMOTED or rollout.phase is Phase.SUPERSEDED:
        if after.champion is None:
            msg = "promoted, but there is no champion"
            raise ValueError(msg)
        return promote(before, after.champion, now, without_supersedes_note(event.reason))
    if kind is EventKind.ROLLED_BACK:
        return roll_back(before, event.reason, now)
    msg = f"{event.kind!r} cannot be requested"
    raise ValueError(msg)


def _difference(step: Transition | None, event: RecordedEvent, *, decided: bool = False) -> str:
    """Return how the step differs from the event; '' when it does not."""
    if step is None:
        return f"recorded {event.kind}, recomputed: stay"
    if step.kind is not _kind(event):
        return f"recorded {event.kind}, recomputed: {step.kind} ({step.reason})"
    same_wording = not decided or event.evidence.get("wording") == WORDING
    # Read and written again: an earlier release did not write today's keys.
    recorded = Traffic.from_json(dict(event.traffic)).to_json()
    mine = step.traffic.at(event.revision).to_json()
    if _comparable(mine, same_wording=same_wording) != _comparable(recorded, same_wording=same_wording):
        return f"recomputed, {step.kind} leads to another state than the recorded one"
    if same_wording and without_supersedes_note(step.reason) != without_supersedes_note(event.reason):
        return f"recorded reason {event.reason!r}, recomputed {step.reason!r}"
    return ""


def _comparable(state: dict[str, Any], *, same_wording: bool) -> dict[str, Any]:
    """Return the state without what depends on the release: worded reasons, and ids of manual steps."""
    rollout = dict(state.get("rollout") or {})
    reason = rollout.pop("reason", "")
    if same_wording:
        rollout["reason"] = without_supersedes_note(reason)
    if is_manual(rollout.get("id", "")):
        rollout.pop("id")
    return {**state, "rollout": rollout}


def _verdict_difference(decision: Decision, checks: Sequence[Mapping[str, Any]]) -> str:
    now = {str(check.name): str(check.verdict) for check in decision.checks}
    then = {str(check["name"]): str(check["verdict"]) for check in checks}
    changed = [name for name in {**then, **now} if now.get(name) != then.get(name)]
    return "; ".join(f"{name} recorded {then.get(name)}, recomputed {now.get(name)}" for name in changed)
