"""Decide from the monitoring history whether to retrain, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from homeostat.config.model import Trigger
from homeostat.core.trigger.backoff import backoff
from homeostat.core.trigger.causes import Cause, find_cause
from homeostat.core.trigger.cooldown import Hold, cooldown
from homeostat.core.trigger.evidence import Evidence
from homeostat.core.trigger.reasons import TriggerReason, sentence_for
from homeostat.core.trigger.records import WindowRecord
from homeostat.core.trigger.result import TriggerDecision, TriggerState
from homeostat.core.trigger.retrain_end import RetrainEnd
from homeostat.core.trigger.tenure import is_calm


def decide_trigger(
    history: Iterable[WindowRecord],
    current: WindowRecord,
    settings: Trigger,
    *,
    promoted_at: datetime | None = None,
    min_retrain_interval: timedelta = timedelta(0),
    retrains: Mapping[datetime, RetrainEnd] = MappingProxyType({}),
) -> TriggerDecision:
    """Fold the history up to ``current`` into one decision. Nothing is remembered between calls.

    The rules, in this order:

    1. A window that fired stays fired when it is checked again.
    2. A window that ended by ``promoted_at`` is no evidence about the champion.
    3. Within ``cooldown`` of a window that fired, nothing fires, in whatever order the two are checked.
    4. One episode fires once: the next fire needs the end of the cooldown, a promotion or a calm window.
       Without a cooldown, one of the latter two.
    5. The next retrain waits for ``min_retrain_interval``, and longer while retraining does not help: see
       :func:`~homeostat.core.trigger.backoff.backoff`.
    6. A cause fires: see :func:`~homeostat.core.trigger.causes.find_cause`.
    7. Without a cause: drift that does no harm, a run that is not long enough yet, or nothing.

    A promotion starts afresh: windows that end by ``promoted_at``, those of another version and those of an
    earlier tenure of this one are no evidence. They still start a cooldown.

    Parameters
    ----------
    history
        Records in any order, one per window end (of several, the one that fired counts). An earlier record of
        the current window, and later windows, only show what has fired.
    current
        The window to decide about; its ``fired`` is not read.
    promoted_at
        When the version became champion, on the clock of the window ends.
    min_retrain_interval
        How long it takes to measure what a retrain has gained.
    retrains
        How the retrains of windows that fired ended, by the end of the window. One that ended after
        ``current`` is not used. Without one, as in histories of release 0.1, the versions of
        later windows show whether the retrain made a new champion.
    """
    evidence = Evidence.of(history, current, settings, promoted_at, min_retrain_interval, retrains)
    cause = find_cause(evidence) if evidence.tenure else None
    return (
        _already_fired(evidence)
        or _before_promotion(evidence)
        or _held(evidence, cooldown(evidence), cause)
        or _held(evidence, backoff(evidence, cause) if cause else None, cause)
        or _fire(evidence, cause)
        or _no_cause(evidence)
    )


def _already_fired(evidence: Evidence) -> TriggerDecision | None:
    known = evidence.records.get(evidence.current.window_end)
    if known is None or not known.fired:
        return None
    return _decision(
        evidence,
        "fired",
        known.reason,
        "This window has fired before; checking it again changes nothing.",
        until=known.window_end + evidence.settings.cooldown,
        repeated=True,
        reinstate=known.reinstate,
    )


def _before_promotion(evidence: Evidence) -> TriggerDecision | None:
    if evidence.tenure:
        return None
    reason = TriggerReason.BEFORE_PROMOTION
    return _decision(evidence, "quiet", reason, sentence_for(reason, promoted_at=evidence.promoted_at))


def _held(evidence: Evidence, hold: Hold | None, cause: Cause | None) -> TriggerDecision | None:
    if hold is None:
        return None
    sentence = f"{hold.sentence} Without it: {cause.sentence}" if cause else hold.sentence
    return _decision(evidence, "cooldown", hold.reason, sentence, until=hold.until)


def _fire(evidence: Evidence, cause: Cause | None) -> TriggerDecision | None:
    if cause is None:
        return None
    current = evidence.current
    until = current.window_end + evidence.settings.cooldown
    return _decision(
        evidence, "fired", cause.reason, cause.sentence, until=until, reinstate=current.reinstate
    )


def _no_cause(evidence: Evidence) -> TriggerDecision:
    """Say what is missing for a fire."""
    current, consecutive = evidence.current, evidence.settings.consecutive
    run = max(evidence.drift_run, evidence.decay_run)
    state: TriggerState
    if evidence.drift_run >= consecutive:
        state, reason, run = "notice", TriggerReason.HARMLESS_DRIFT, evidence.drift_run
    elif run:
        state, reason = "building", TriggerReason.BUILDING
    elif is_calm(current) and current.performance != "pending":
        state, reason = "quiet", TriggerReason.WITHIN_TOLERANCE
    elif current.performance == "pending":
        state, reason = "pending", TriggerReason.LABELS_PENDING
    else:
        state, reason = "pending", TriggerReason.NO_EVIDENCE
    return _decision(evidence, state, reason, sentence_for(reason, run=run, consecutive=consecutive))


def _decision(
    evidence: Evidence,
    state: TriggerState,
    reason: str,
    sentence: str,
    *,
    until: datetime | None = None,
    repeated: bool = False,
    reinstate: str = "",
) -> TriggerDecision:
    return TriggerDecision(
        fire=state == "fired",
        reason=reason,
        sentence=sentence,
        consecutive=max(evidence.drift_run, evidence.decay_run),
        state=state,
        cooldown_until=until,
        repeated=repeated,
        reinstate=reinstate if reason == TriggerReason.FORMER_VERSION_FITS else "",
    )
