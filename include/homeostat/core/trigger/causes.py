"""What the evidence alone would fire for."""

from __future__ import annotations

from dataclasses import dataclass

from homeostat.core.trigger.evidence import Evidence
from homeostat.core.trigger.reasons import TriggerReason, sentence_for
from homeostat.core.trigger.worthwhile import probe_due, worthwhile

#: So many slices are named in a sentence.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Cause:
    """A reason to retrain (or to reinstate a former champion), with its sentence."""

    reason: TriggerReason
    sentence: str

    @classmethod
    def of(cls, reason: TriggerReason, **values: object) -> Cause:
        """Build one with the reason's own sentence."""
        return cls(reason, sentence_for(reason, **values))


def find_cause(evidence: Evidence) -> Cause | None:
    """Return the first cause that holds, in this order; None when there is none.

    A former champion that fits better comes before any training. One that was refused as the last thing
    tried comes last, before a probe that is due without any other cause.
    """
    former = _former_version_fits(evidence)
    return (
        (None if evidence.reinstatement_refused else former)
        or _decay(evidence)
        or _slice_decay(evidence)
        or _drift(evidence)
        or _below_best(evidence)
        or former
        or _probe_due(evidence)
    )


def _former_version_fits(evidence: Evidence) -> Cause | None:
    version = evidence.current.reinstate
    return Cause.of(TriggerReason.FORMER_VERSION_FITS, version=version) if version else None


def _decay(evidence: Evidence) -> Cause | None:
    """Critical or significant decay fires at once; other decay must last ``trigger.consecutive`` windows."""
    current, settings = evidence.current, evidence.settings
    if current.performance == "alert" and current.decay is not None:
        if current.decay >= settings.critical_decay:
            limit = settings.critical_decay
            return Cause.of(TriggerReason.PERFORMANCE_DECAY_CRITICAL, decay=current.decay, limit=limit)
        if current.significant:
            return Cause.of(TriggerReason.PERFORMANCE_DECAY, decay=current.decay, limit=settings.decay)
    if evidence.decay_run >= settings.consecutive:
        return Cause.of(
            TriggerReason.SUSTAINED_DECAY, run=evidence.decay_run, consecutive=settings.consecutive
        )
    return None


def _slice_decay(evidence: Evidence) -> Cause | None:
    """Decay of a slice is always tested for significance, so it fires at once, as significant decay does."""
    decayed = evidence.current.decayed_slices
    if not decayed:
        return None
    shown = [f"slice {name} (decay {lost:.3f})" for name, lost in list(decayed.items())[:_NAMED]]
    more = f" and {len(decayed) - _NAMED} more" if len(decayed) > _NAMED else ""
    return Cause.of(
        TriggerReason.SLICE_DECAY, slices=f"{', '.join(shown)}{more}", limit=evidence.settings.decay
    )


def _drift(evidence: Evidence) -> Cause | None:
    """Drift must last, and must not be known to be harmless."""
    current, run, consecutive = evidence.current, evidence.drift_run, evidence.settings.consecutive
    if run < consecutive or current.impact == "not_shown":
        return None
    harmful = current.impact == "shown"
    reason = TriggerReason.HARMFUL_DRIFT if harmful else TriggerReason.SUSTAINED_DRIFT
    return Cause.of(reason, run=run, consecutive=consecutive)


def _below_best(evidence: Evidence) -> Cause | None:
    if not evidence.current.below_best:
        return None
    return Cause.of(TriggerReason.BELOW_BEST, limit=evidence.settings.decay)


def _probe_due(evidence: Evidence) -> Cause | None:
    """Return the cause of a probe; the record of ageing may expect already that the retrain pays."""
    current = evidence.current
    if not evidence.settings.probes or not probe_due(current) or current.unlearned is None:
        return None
    found = worthwhile(
        rate=current.ageing_rate or 0.0,
        z=current.ageing_z or 0.0,
        cusum=current.ageing_cusum or 0.0,
        gap=current.unlearned,
        settings=evidence.settings,
    )
    if found.retrain:
        sentence = f"By the record, {found.sentence[0].lower()}{found.sentence[1:]}"
        return Cause(TriggerReason.RETRAINING_PAYS, sentence)
    return Cause.of(TriggerReason.PROBE_DUE, unlearned=current.unlearned)
