"""The wait between retrains, which doubles while retraining does not help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from homeostat.core.trigger.attempts import Attempt
from homeostat.core.trigger.causes import Cause
from homeostat.core.trigger.cooldown import Hold
from homeostat.core.trigger.evidence import Evidence
from homeostat.core.trigger.reasons import TriggerReason, sentence_for
from homeostat.core.trigger.retrain_end import NO_NEW_CHAMPION, NOT_JUDGED, RetrainResult
from homeostat.core.trigger.worthwhile import can_probe

#: The wait grows to at most so many times ``min_retrain_interval``.
MAX_BACKOFF_FACTOR = 8
_DECAY = (
    TriggerReason.PERFORMANCE_DECAY_CRITICAL,
    TriggerReason.PERFORMANCE_DECAY,
    TriggerReason.SUSTAINED_DECAY,
    TriggerReason.SLICE_DECAY,
)
#: These retrain whatever a probe shows, so they do not wait as probes do.
_WITHOUT_PROBE = (TriggerReason.PERFORMANCE_DECAY_CRITICAL, TriggerReason.SLICE_DECAY)
_UNHELPFUL = NO_NEW_CHAMPION | {RetrainResult.REPLACED}


def backoff(evidence: Evidence, cause: Cause) -> Hold | None:
    """Return the hold that the outcome of the last retrains puts on this cause, or None.

    - Decay waits only after retrains that brought no new champion. The other causes wait also after a version
      that a former champion replaced, and one ``min_retrain_interval`` after every retrain.
    - Where a probe can be compared with the champion, see
      :func:`~homeostat.core.trigger.worthwhile.can_probe`, all causes wait as decay does, and all but
      critical decay and decay of a slice until the next probe.
    - A reinstatement waits one ``min_retrain_interval`` where it was refused as the last thing tried.

    With n such retrains since the last success, see :func:`retrains_since_success`, the wait is
    ``min_retrain_interval * min(2^(n - 1), 8)``; where a probe can be compared the first of the n does not
    count, since the next retrain begins with one, which waits by itself. Critical decay and decay of a slice
    wait for all n. Retrains that were not judged (they failed, or their rollout lacked evidence) are not
    among the n: they do not say that retraining does not help. While they are the last ones in a row, their
    own number makes the same wait, if that is longer, so that what is broken is not tried again and again at
    the same rate.
    Superseded retrains do not count.
    """
    last, interval = evidence.last_fire, evidence.min_retrain_interval
    if cause.reason == TriggerReason.FORMER_VERSION_FITS:
        if last is None or not interval or not evidence.reinstatement_refused:
            return None
        outcome = _describe([evidence.attempts[-1].result], "reinstatement")
        return _hold(evidence, TriggerReason.TOO_EARLY, outcome, last + interval)
    held = None
    if last is not None and interval:
        held = _after_retrains(evidence, cause, last, interval)
    return held or _before_probe(evidence, cause)


def _after_retrains(evidence: Evidence, cause: Cause, last: datetime, interval: timedelta) -> Hold | None:
    """Return the hold of the retrains so far, the last of which was fired for at ``last``."""
    retrains = retrains_since_success(evidence, cause)
    counted = NO_NEW_CHAMPION if _is_measured(evidence, cause) else _UNHELPFUL
    judged = sum(each in counted for each in retrains)
    if judged and _is_probed(evidence) and cause.reason not in _WITHOUT_PROBE:
        judged -= 1  # one refusal may be chance, and the next retrain waits as probes do
    failures = max(judged, not_judged_run(retrains))
    if failures:
        until = last + interval * min(2 ** (failures - 1), MAX_BACKOFF_FACTOR)
        return _hold(evidence, TriggerReason.BACKING_OFF, _describe(retrains), until)
    if _is_measured(evidence, cause):
        return None
    outcome = "Whether the last retrain helped cannot be measured yet"
    return _hold(evidence, TriggerReason.TOO_EARLY, outcome, last + interval)


def _before_probe(evidence: Evidence, cause: Cause) -> Hold | None:
    """Return the hold until the next probe; None where none can be compared with the champion."""
    after = evidence.current.probe_after
    if after is None or not _is_probed(evidence) or cause.reason in _WITHOUT_PROBE:
        return None
    outcome = "A version was promoted, or a probe showed that a retrain does not pay, a short time ago"
    return _hold(evidence, TriggerReason.TOO_EARLY, outcome, after)


def retrains_since_success(evidence: Evidence, cause: Cause) -> list[RetrainResult]:
    """Return how each retrain ended since the last one that succeeded, oldest first.

    Any new champion is a success. Where a former champion replaced the version that was trained last, this
    counts like a refusal, except where labels show what the next retrain is worth.
    """
    measured = _is_measured(evidence, cause)
    since = list(takewhile(lambda each: not _succeeded(each), reversed(evidence.attempts)))
    return [
        each.result
        for each in reversed(since)
        if not each.reinstates or (each.result is RetrainResult.REPLACED and not measured)
    ]


def _is_measured(evidence: Evidence, cause: Cause) -> bool:
    """Whether labels show what a retrain is worth: by decay, or since its probe is compared first."""
    return cause.reason in _DECAY or _is_probed(evidence)


def _is_probed(evidence: Evidence) -> bool:
    """Whether there are labels enough for the next retrain to begin with a probe that is compared."""
    return can_probe(evidence.current)


def _succeeded(attempt: Attempt) -> bool:
    return attempt.new_champion and not attempt.reinstates


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
    if RetrainResult.REPLACED in counts:
        brought = "brought no champion that stayed"
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
