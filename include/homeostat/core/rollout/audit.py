"""Decide every recorded step again, from its record alone, and say whether the record agrees.

A ledger's event holds the state after it, the counts that were looked at, what the checks said, and why.
With the state before it, that of the event before, this is all that a decision rests on. What a person asked
for is no decision: there the state must be what the request makes of the state before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from homeostat.config.errors import HomeostatError
from homeostat.core.rollout.champion_watch import watch
from homeostat.core.rollout.decide import Decision, decide, evidence_from_json
from homeostat.core.rollout.evidence import Evidence
from homeostat.core.rollout.phases import Phase, Traffic
from homeostat.core.rollout.transitions import Transition, approve, begin, gave_way, promote, roll_back

#: Steps that nobody can ask for.
_ONLY_DECIDED = ("shadow", "canary", "extended", "clock")


class Recorded(Protocol):
    """An event as the ledger hands it out."""

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
        """``checks`` and ``tallies`` as plain JSON; empty for what a person asked for."""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What deciding again came to. ``difference`` is empty when the record agrees."""

    revision: int
    kind: str
    decided: bool
    difference: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the same came out."""
        return not self.difference

    @property
    def sentence(self) -> str:
        """The outcome in a few words."""
        if self.difference:
            return f"revision {self.revision}, {self.kind}: {self.difference}"
        how = "the evidence on record decides the same" if self.decided else "is what was asked for"
        return f"revision {self.revision}, {self.kind}: {how}"


def recompute(before: Traffic, event: Recorded) -> Recomputed:
    """Take one step again.

    The kind, the reason, the state after it and every check's verdict have to come out the same. Figures
    may differ in their last digits between versions of SciPy and are not compared.

    Parameters
    ----------
    before
        The state that the event changed; without revisions in between.
    """
    after = Traffic.from_json(dict(event.traffic))
    tallies = event.evidence.get("tallies") or {}
    checks: Sequence[Mapping[str, Any]] = event.evidence.get("checks") or ()
    now = _moment(after, event)
    decided = event.kind in _ONLY_DECIDED or bool(tallies) or _claims_evidence(event)
    if after.revision != before.revision + 1:
        gap = f"follows revision {before.revision}: what lies between is missing"
        return Recomputed(event.revision, event.kind, decided, gap)
    try:
        if not decided:
            difference = _same(_asked(before, after, event, now), event)
            return Recomputed(event.revision, event.kind, decided, difference)
        decision = _decide(before, evidence_from_json(tallies), now)
        difference = _same(decision.transition, event) or _verdicts(decision, checks)
    except (HomeostatError, KeyError, TypeError, ValueError) as error:
        difference = f"cannot be decided again: {error}"
    return Recomputed(event.revision, event.kind, decided, difference)


def recompute_all(model: str, events: Iterable[Recorded]) -> list[Recomputed]:
    """Take a model's whole history again, oldest event first, beginning with nothing served."""
    found, before = [], Traffic(model)
    for event in events:
        found.append(recompute(before, event))
        before = Traffic.from_json(dict(event.traffic))
    return found


def _decide(before: Traffic, evidence: Evidence, now: datetime) -> Decision:
    return decide(before, evidence, now) if before.active is not None else watch(before, evidence, now)


def _moment(after: Traffic, event: Recorded) -> datetime:
    """When it was decided: a new phase begins at that very moment; without one any moment since will do."""
    if after.rollout is None or event.kind in ("extended", "approved"):
        return event.at
    return after.rollout.entered_at


def _claims_evidence(event: Recorded) -> bool:
    """Whether the reason is one that only :func:`decide` or :func:`watch` give, tallies or not."""
    known = {f"{check['name']} failed: " for check in event.evidence.get("checks") or ()}
    return event.reason.startswith(("inconclusive after ", "champion failed: ", "canary passed", *known))


def _asked(before: Traffic, after: Traffic, event: Recorded, now: datetime) -> Transition:
    """What the request on record makes of the state before."""
    rollout = after.rollout
    if rollout is None:
        msg = "no rollout is on record"
        raise ValueError(msg)
    begun = before.rollout is None or before.rollout.id != rollout.id
    if begun and not rollout.id.startswith("by-hand-"):
        return begin(
            before,
            rollout.candidate,
            rollout.id,
            rollout.plan,
            now,
            forced=rollout.forced,
            serve=event.kind == "begun",
        )
    if event.kind == "approved":
        return approve(before, now)
    if event.kind == "promoted" or rollout.phase is Phase.SUPERSEDED:
        if after.champion is None:
            msg = "promoted, but there is no champion"
            raise ValueError(msg)
        return promote(before, after.champion, now, event.reason.removesuffix(gave_way(before)))
    if event.kind == "rolled_back":
        return roll_back(before, event.reason, now)
    msg = f"nobody can ask for {event.kind!r}"
    raise ValueError(msg)


def _same(step: Transition | None, event: Recorded) -> str:
    """How the step differs from the event; '' when it does not."""
    if step is None:
        return f"on record {event.kind}, decided again: stay"
    if step.kind != event.kind:
        return f"on record {event.kind}, decided again: {step.kind} ({step.reason})"
    if step.traffic.at(event.revision).to_json() != dict(event.traffic):
        return f"decided again, {step.kind} leads to another state than the one on record"
    if step.reason != event.reason:
        return f"on record because {event.reason!r}, decided again because {step.reason!r}"
    return ""


def _verdicts(decision: Decision, checks: Sequence[Mapping[str, Any]]) -> str:
    now = {check.name: str(check.verdict) for check in decision.checks}
    then = {str(check["name"]): str(check["verdict"]) for check in checks}
    changed = [name for name in {**then, **now} if now.get(name) != then.get(name)]
    return "; ".join(f"{name} on record {then.get(name)}, decided again {now.get(name)}" for name in changed)
