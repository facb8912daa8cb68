"""The wait between retrains, which doubles while retraining does not help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from homeostat.core.trigger.causes import SIGNIFICANT_GAIN, Cause
from homeostat.core.trigger.cooldown import Hold
from homeostat.core.trigger.evidence import Evidence
from homeostat.core.trigger.reasons import TriggerReason, sentence_for
from homeostat.core.trigger.records import WindowRecord

#: The wait grows to at most so many times ``min_retrain_interval``.
MAX_BACKOFF_FACTOR = 8
_DECAY = (
    TriggerReason.PERFORMANCE_DECAY_CRITICAL,
    TriggerReason.PERFORMANCE_DECAY,
    TriggerReason.SUSTAINED_DECAY,
)


@dataclass(frozen=True, slots=True)
class RetrainOutcomes:
    """How many of the last retrains in a row made no new champion, and how many had no gain.

    Those that made no new champion are among those without gain.
    """

    refused: int
    without_gain: int


def backoff(evidence: Evidence, cause: Cause) -> Hold | None:
    """Return the hold that the outcome of the last retrains puts on this cause, or None.

    - Decay waits only after retrains that made no new champion.
    - Drift and ``below_best`` wait one ``min_retrain_interval`` after every retrain, as its gain cannot be
      measured before. After retrains without gain they wait longer.
    - A reinstatement waits one ``min_retrain_interval`` where it was refused as the last thing tried.

    With n such retrains in a row the wait is ``min_retrain_interval * min(2^(n - 1), 8)``.
    """
    fires, interval = evidence.fires, evidence.min_retrain_interval
    if not fires or not interval:
        return None
    last = fires[-1].window_end
    if cause.reason == TriggerReason.FORMER_VERSION_FITS:
        if not evidence.reinstatement_refused:
            return None
        outcome = "Reinstating a former champion was refused last time"
        return _hold(evidence, TriggerReason.TOO_EARLY, outcome, last + interval)
    outcomes = retrain_outcomes(evidence)
    failures = outcomes.refused if cause.reason in _DECAY else outcomes.without_gain
    if failures:
        until = last + interval * min(2 ** (failures - 1), MAX_BACKOFF_FACTOR)
        return _hold(evidence, TriggerReason.BACKING_OFF, _describe(outcomes, failures), until)
    if cause.reason in _DECAY:
        return None
    outcome = "The gain of the last retrain cannot be measured yet"
    return _hold(evidence, TriggerReason.TOO_EARLY, outcome, last + interval)


def retrain_outcomes(evidence: Evidence) -> RetrainOutcomes:
    """Count the failures at the end of the sequence of retrains.

    A retrain failed when no other version has become champion since. It had no gain when it failed, when a
    former champion replaced its version, or when the gain was 0 or less by the time of the next fire. A
    significant gain resets the count.
    """
    fires = evidence.fires
    refused = without_gain = 0
    for fire, following in zip(fires, [*fires[1:], None], strict=True):
        end = following.window_end if following else evidence.current.window_end
        windows = (*evidence.past, evidence.current)
        after = [record for record in windows if fire.window_end < record.window_end <= end]
        if not after:
            continue
        same_champion = all(record.version == fire.version for record in after)
        if fire.reason == TriggerReason.FORMER_VERSION_FITS:
            without_gain += not same_champion  # an older version replaced the one that was trained last
            continue
        if same_champion:
            refused, without_gain = refused + 1, without_gain + 1
            continue
        refused = 0
        gain = _last_gain(after)
        if gain is not None and gain >= SIGNIFICANT_GAIN:
            without_gain = 0
        elif following is not None and gain is not None and gain <= 0:
            without_gain += 1
    return RetrainOutcomes(refused, without_gain)


def _last_gain(records: Sequence[WindowRecord]) -> float | None:
    return next((record.gain for record in reversed(records) if record.gain is not None), None)


def _hold(evidence: Evidence, reason: TriggerReason, outcome: str, until: datetime) -> Hold | None:
    if evidence.current.window_end >= until:
        return None
    return Hold(reason, sentence_for(reason, outcome=outcome, until=until), until)


def _describe(outcomes: RetrainOutcomes, failures: int) -> str:
    if failures > 1:
        return f"The last {failures} retrains did not improve the model"
    if outcomes.refused:
        return "The last retrain made no new champion"
    return "The last retrain did not improve the model"
