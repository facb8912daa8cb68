"""What became of each version, in one sentence, from the events of a model's ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from homeostat.core.rollout import Phase, Rollout, Traffic, phase_time
from homeostat.ports import Event
from homeostat.storage.retrain_outcome import WHERE, RefusalStage, RetrainOutcome

#: The value of the tag ``homeostat.phase`` of a champion after another version took its place.
FORMER_CHAMPION = "former_champion"

_STAGES = {
    Phase.REGISTERED: RefusalStage.LOAD,
    Phase.SHADOW: RefusalStage.SHADOW,
    Phase.CANARY: RefusalStage.CANARY,
    Phase.WAITING: RefusalStage.CANARY,  # a version that waits for approval is checked like a canary
}
# A sentence names the setting that decided. These are for reasons that do not name one themselves: ledgers of
# earlier releases have such reasons.
_SETTING = re.compile(r"\b(?:gate|shadow|canary|rollback|schema|training)\.[a-z_0-9]+")
_CHECK_SETTINGS = {
    "labels": "gate.max_regression",
    "divergence": "shadow.max_divergence",
    "errors": "rollback.error_rate",
    "p99_latency": "rollback.p99_latency_ms",
}
_INCONCLUSIVE_SETTINGS = {
    RefusalStage.SHADOW: "shadow.min_samples",
    RefusalStage.CANARY: "canary.min_samples",
}


@dataclass(frozen=True, slots=True)
class VersionChange:
    """The end of a candidate's rollout, or the beginning or end of a champion's time.

    Parameters
    ----------
    rollout
        The id of its rollout, which is the run key of its retrain; "" where the event does not say it.
    phase
        The value of the version's tag ``homeostat.phase``.
    outcome
        What its retrain came to; None at the end of a champion's time.
    stage
        See :class:`~homeostat.storage.retrain_outcome.Outcome`.
    """

    version: str
    rollout: str
    phase: str
    outcome: RetrainOutcome | None
    stage: str
    reason: str
    sentence: str

    @property
    def inconclusive(self) -> bool:
        """Whether a candidate was refused for lack of evidence, not for a failed check."""
        return self.outcome is RetrainOutcome.REFUSED and self.reason.startswith("inconclusive")


def version_changes(events: Sequence[Event]) -> list[VersionChange]:
    """Return what the events changed, oldest first.

    The first event is only the state before the second one, unless it has revision 1.
    """
    states = [(event, Traffic.from_json(dict(event.traffic))) for event in events]
    if not states:
        return []
    found: list[VersionChange] = []
    first, traffic = states[0]
    if first.revision == 1:
        found.extend(_changes(Traffic(traffic.model), first, traffic))
    for (_, before), (event, after) in pairwise(states):
        found.extend(_changes(before, event, after))
    return found


def rollout_end(events: Sequence[Event], rollout_id: str) -> VersionChange | None:
    """Return how a rollout ended; None while it is under way.

    A promotion stays one when the version is rolled back as champion; then its sentence says both.
    """
    own = [change for change in version_changes(events) if change.rollout == rollout_id]
    end = next((change for change in own if change.outcome is not None), None)
    return None if end is None else replace(end, sentence=own[-1].sentence)


def _changes(before: Traffic, event: Event, after: Traffic) -> Iterator[VersionChange]:
    ended, rollout = before.active, after.rollout
    if ended is not None and after.champion != ended.candidate:
        same = rollout is not None and rollout.id == ended.id
        if not same or (rollout is not None and rollout.phase is Phase.SUPERSEDED):
            yield _superseded(ended, event, after)
        elif rollout is not None and rollout.phase is Phase.ROLLED_BACK:
            yield _refused(ended, event, after)
    if after.champion == before.champion:
        return
    if before.champion is not None:
        yield _end_of_champion(before, event, after)
    if after.champion is not None:
        yield _promoted(event, after)


def _superseded(ended: Rollout, event: Event, after: Traffic) -> VersionChange:
    version, rollout = ended.candidate.version, after.rollout
    why = event.reason.strip(" .")
    if rollout is not None and rollout.id != ended.id:
        why = f"version {rollout.candidate.version} took its place"
    sentence = f"{_name(after, version)} was superseded {phase_time(ended)}: {why}. {_stays(after)}."
    return VersionChange(
        version,
        ended.id,
        str(Phase.SUPERSEDED),
        RetrainOutcome.SUPERSEDED,
        str(ended.phase),
        event.reason,
        sentence,
    )


def _refused(ended: Rollout, event: Event, after: Traffic) -> VersionChange:
    """Return the refusal of a candidate by a check, by a gateway that cannot load it, or by a person."""
    version, reason = ended.candidate.version, event.reason.strip(" .")
    manual = not event.evidence  # a decision is recorded with its evidence, a person's request without
    stage = _STAGES[ended.phase]
    if manual and ended.phase is Phase.WAITING:
        stage = RefusalStage.APPROVAL
    elif not manual and "could not be loaded" in reason:
        stage = RefusalStage.LOAD
    where = phase_time(ended) if stage is RefusalStage.CANARY else WHERE[stage]
    why = _by_person(stage, event, ended) if manual else f"{reason}{_setting(stage, reason)}"
    sentence = f"{_name(after, version)} was refused {where}: {why}. {_stays(after)}."
    return VersionChange(
        version, ended.id, str(Phase.ROLLED_BACK), RetrainOutcome.REFUSED, stage, event.reason, sentence
    )


def _by_person(stage: RefusalStage, event: Event, ended: Rollout) -> str:
    reason = event.reason.strip(" .")
    verb = "declined" if stage is RefusalStage.APPROVAL else "rolled back"
    said = reason if reason.startswith(verb) else f"{verb} by {event.by}: {reason}"
    if stage is not RefusalStage.APPROVAL:
        return said
    return f"{said} ({'Force always needs an approval' if ended.forced else 'approval: required'})"


def _setting(stage: RefusalStage, reason: str) -> str:
    """Return the setting that decided, in brackets; "" when the reason names it or no setting decides."""
    if _SETTING.search(reason):
        return ""
    setting: str | None = _CHECK_SETTINGS.get(reason.partition(" failed: ")[0])
    if reason.startswith("inconclusive"):
        setting = _INCONCLUSIVE_SETTINGS.get(stage)
    return f" ({setting})" if setting else ""


def _promoted(event: Event, after: Traffic) -> VersionChange:
    rollout, champion = after.rollout, after.champion
    version = champion.version if champion else ""
    own = rollout is not None and rollout.candidate == champion
    reason = event.reason.strip(" .")
    again = "" if own else "again "  # a rollback of its successor restored it
    sentence = f"{_name(after, version)} is champion {again}since {_utc(event.at)}: {reason}."
    return VersionChange(
        version,
        rollout.id if own and rollout else "",
        str(Phase.CHAMPION),
        RetrainOutcome.PROMOTED,
        str(Phase.CHAMPION),
        event.reason,
        sentence,
    )


def _end_of_champion(before: Traffic, event: Event, after: Traffic) -> VersionChange:
    champion, rollout = before.champion, after.rollout
    version = champion.version if champion else ""
    since = f"from {_utc(before.promoted_at)} " if before.promoted_at else ""
    was = f"{_name(after, version)} was champion {since}to {_utc(event.at)}"
    reason = event.reason.strip(" .")
    if rollout is not None and rollout.phase is Phase.ROLLED_BACK and rollout.candidate == champion:
        now = f"Version {after.champion.version} is champion again." if after.champion else ""
        sentence = f"{was} and was rolled back: {reason}. {now}"
        return VersionChange(version, rollout.id, str(Phase.ROLLED_BACK), None, "", event.reason, sentence)
    successor = after.champion.version if after.champion else "none"
    sentence = f"{was}; version {successor} took its place: {reason}."
    return VersionChange(version, "", FORMER_CHAMPION, None, "", event.reason, sentence)


def latest(changes: Sequence[VersionChange]) -> Mapping[str, VersionChange]:
    """Return the last change of each version."""
    return {change.version: change for change in changes}


def stays(champion: str | None) -> str:
    """Return the end of a refusal's sentence: which version serves on."""
    return f"Version {champion} stays champion" if champion else "No version serves yet"


def _stays(traffic: Traffic) -> str:
    return stays(traffic.champion.version if traffic.champion else None)


def _name(traffic: Traffic, version: str) -> str:
    return f"{traffic.model} version {version}"


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
