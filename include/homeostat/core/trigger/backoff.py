"""The wait between retrains, which doubles while retraining does not help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile

from homeostat.core.trigger.attempts import Attempt
from homeostat.core.trigger.causes import SIGNIFICANT_GAIN, Cause
from homeostat.core.trigger.cooldown import Hold
from homeostat.core.trigger.evidence import Evidence
from homeostat.core.trigger.reasons import TriggerReason, sentence_for
from homeostat.core.trigger.retrain_end import NO_NEW_CHAMPION, NOT_JUDGED, SERVED, RetrainResult

#: The wait grows to at most so many times ``min_retrain_interval``.
MAX_BACKOFF_FACTOR = 8
_DECAY = (
    TriggerReason.PERFORMANCE_DECAY_CRITICAL,
    TriggerReason.PERFORMANCE_DECAY,
    TriggerReason.SUSTAINED_DECAY,
)
_NO_GAIN = NO_NEW_CHAMPION | {RetrainResult.NO_GAIN, RetrainResult.REPLACED}


def backoff(evidence: Evidence, cause: Cause) -> Hold | None:
    """Return the hold that the outcome of the last retrains puts on this cause, or None.

    - Decay waits only after retrains that brought no new champion.
    - Drift and ``below_best`` wait one ``min_retrain_interval`` after every retrain, as its gain cannot be
      measured before. After retrains without gain they wait longer.
    - A reinstatement waits one ``min_retrain_interval`` where it was refused as the last thing tried.

    With n such retrains since the last success, see :func:`retrains_since_success`, the wait is
    ``min_retrain_interval * min(2^(n - 1), 8)``. Retrains that were not judged (they failed, or their rollout
    lacked evidence) are not among the n: they do not say that retraining does not help. While they are the
    last ones in a row, their own number makes the same wait, if that is longer, so that what is broken is not
    tried again and again at the same rate. Superseded retrains do not count.
    """
    last, interval = evidence.last_fire, evidence.min_retrain_interval
    if last is None or not interval:
        return None
    if cause.reason == TriggerReason.FORMER_VERSION_FITS:
        if not evidence.reinstatement_refused:
            return None
        outcome = _describe([evidence.attempts[-1].result], "reinstatement")
        return _hold(evidence, TriggerReason.TOO_EARLY, outcome, last + interval)
    retrains = retrains_since_success(evidence, cause)
    counted = NO_NEW_CHAMPION if cause.reason in _DECAY else _NO_GAIN
    failures = max(sum(each in counted for each in retrains), not_judged_run(retrains))
    if failures:
        until = last + interval * min(2 ** (failures - 1), MAX_BACKOFF_FACTOR)
        return _hold(evidence, TriggerReason.BACKING_OFF, _describe(retrains), until)
    if cause.reason in _DECAY:
        return None
    outcome = "The gain of the last retrain cannot be measured yet"
    return _hold(evidence, TriggerReason.TOO_EARLY, outcome, last + interval)


def retrains_since_success(evidence: Evidence, cause: Cause) -> list[RetrainResult]:
    """Return how each retrain ended since the last one that succeeded, oldest first.

    For decay any new champion is a success. For the other causes it is a significant gain; where a former
    champion replaced the version that was trained last, this counts like a retrain without gain.
    """
    decay = cause.reason in _DECAY
    since = list(takewhile(lambda each: not _succeeded(each, decay=decay), reversed(evidence.attempts)))
    return [
        each.result
        for each in reversed(since)
        if not each.reinstates or (each.result is RetrainResult.REPLACED and not decay)
    ]


def _succeeded(attempt: Attempt, *, decay: bool) -> bool:
    if attempt.reinstates or not attempt.new_champion:
        return False
    return decay or (attempt.gain is not None and attempt.gain >= SIGNIFICANT_GAIN)


def not_judged_run(retrains: Sequence[RetrainResult]) -> int:
    """Count the retrains at the end that nothing judged; superseded ones neither count nor end the run."""
    own = [each for each in reversed(retrains) if each is not RetrainResult.SUPERSEDED]
    return sum(1 for _ in takewhile(lambda each: each in NOT_JUDGED, own))


def _hold(evidence: Evidence, reason: TriggerReason, outcome: str, until: datetime) -> Hold | None:
    if evidence.current.window_end >= until:
        return None
    return Hold(reason, sentence_for(reason, outcome=outcome, until=until), until)


def _describe(retrains: Sequence[RetrainResult], kind: str = "retrain") -> str:
    """Say how many retrains there were, and how many ended in each way."""
    counts = Counter(retrains)
    last = f"The last {kind}" if len(retrains) == 1 else f"The last {len(retrains)} {kind}s"
    if SERVED & counts.keys():
        brought = "brought no significant gain"
    elif not NO_NEW_CHAMPION & counts.keys():
        brought = "could not be judged"
    elif RetrainResult.ROLLED_BACK in counts:
        brought = "brought no champion that stayed"
    else:
        brought = "brought no new champion"
    if counts.keys() == {RetrainResult.NOT_PROMOTED}:
        return f"{last} {brought}"
    ways = [f"{counts[way]} {way}" if len(retrains) > 1 else way for way in RetrainResult if counts[way]]
    return f"{last} {brought}: {', '.join(ways)}"
