"""Watch a promoted champion, and roll it back when its predictions go bad.

A sequential test on a sliding window gives no guarantee: every evaluation would start a new test. Here the
tests restart at fixed times, in epochs of an hour and of a day, and each may err with a probability that is
its share of :data:`ONCE_IN`: by the sum over the epochs that begin within a time t, the probability of a
false alarm within t is at most ``t / ONCE_IN``. (After Shin, Ramdas & Rinaldo 2023, "E-detectors: a
nonparametric framework for sequential change detection", New England Journal of Statistics in Data Science 2,
with start times on a fixed grid, so that only sums over whole hours and days are kept.) The hour detects a
sudden fault, the day a slow one in little traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import log

from homeostat.config.errors import NoPrevious
from homeostat.core.rollout.decide import Decision
from homeostat.core.rollout.evidence import CHAMPION, CONTROL, LABELLED_PAIRS, Evidence, Tally
from homeostat.core.rollout.health import (
    HealthCheckName,
    HealthCheckResult,
    HealthVerdict,
    compare_by_labels,
)
from homeostat.core.rollout.health.hard_limit import HARD_LIMIT, hard_limit_exceeded
from homeostat.core.rollout.health.latency import log_e_late, log_e_later, quantile, slower_than
from homeostat.core.rollout.health.sequential import log_e_above_limit
from homeostat.core.rollout.phases import Phase, Rollout, Traffic
from homeostat.core.rollout.transitions import roll_back

#: A champion that is always exactly at its limits is rolled back at most once in this time.
ONCE_IN = timedelta(days=365)
#: How long the epochs last. The check's name is also the stage of its evidence.
SPANS: Mapping[HealthCheckName, timedelta] = {
    HealthCheckName.CHAMPION_HOUR: timedelta(hours=1),
    HealthCheckName.CHAMPION_DAY: timedelta(days=1),
}
#: The evidence of the former champion in all canary steps: whether it was as slow on the same machines.
FORMER = (str(Phase.CANARY), CONTROL)
#: Error rate and p99.
_TESTS = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_watched(traffic: Traffic) -> bool:
    """Whether there is a promoted champion to watch, and a previous version to go back to."""
    return (
        traffic.previous is not None
        and traffic.rollout is not None
        and traffic.rollout.phase is Phase.CHAMPION
    )


def epochs(traffic: Traffic, now: datetime) -> dict[HealthCheckName, datetime]:
    """Return when the current epochs began: the UTC hour and day, or the promotion if that was later.

    Empty when no champion is watched: a rollback restored it, or a rollout is under way.
    :func:`champion_watch` takes the champion's evidence since each of these times.
    """
    rollout = traffic.rollout
    if rollout is None or rollout.phase is not Phase.CHAMPION or rollout.candidate != traffic.champion:
        return {}
    # Promoted in the future: a clock was set back, and new counts are dated before the promotion.
    entered = rollout.entered_at if rollout.entered_at <= now else _EPOCH
    return {name: max(entered, now - (now - _EPOCH) % span) for name, span in SPANS.items()}


def champion_watch(traffic: Traffic, evidence: Evidence, now: datetime) -> Decision:
    """Roll back a promoted champion whose predictions go bad, when there is a previous version.

    The hard limit applies for one more ``step_duration`` after the promotion, as in a last canary step, and
    after a promotion without a canary as long as the former champion stays in shadow (an
    old champion that gets three poisoned rows is not replaced by an older one). The plan's ``error_rate`` and
    ``p99_latency_ms`` apply as long as it is champion, from ``window`` rows per epoch on. A champion that is
    above ``p99_latency_ms`` no more often than the former one was in the canary is not rolled back: a busy
    machine makes both slow.

    Labels of requests that the former champion predicted too, in shadow or in the reverse shadow, decide as
    they did during the rollout: a champion that is significantly worse than ``gate.max_regression`` allows is
    rolled back.

    A champion that a rollback restored is not watched: the previous version is the one that was just rolled
    back. Without a previous version the failed check says so and the transition is None.

    Parameters
    ----------
    evidence
        The champion's counts of the current epochs, with the names of :data:`SPANS` as stages and
        ``champion`` as variant, and of the rollout: the former champion's counts in the canary
        (:data:`FORMER`) and the labelled pairs, if there are any.
    """
    rollout = traffic.rollout
    begun = epochs(traffic, now)
    if rollout is None or not begun:
        return Decision(None)
    plan = rollout.plan
    fresh = now - rollout.entered_at <= (plan.step_duration if plan.steps else plan.reverse_shadow)
    former = evidence.get(FORMER, Tally())
    found = [
        _check_epoch(rollout, name, evidence.get((name, CHAMPION), Tally()), former, fresh=fresh)
        for name in begun
    ]
    if LABELLED_PAIRS in evidence:
        found.append(compare_by_labels(rollout, evidence))
    failed = next((check for check in found if check.verdict is HealthVerdict.FAIL), None)
    if failed is None:
        return Decision(None, tuple(found))
    try:
        back = roll_back(traffic, f"champion failed: {failed.reason}", now)
    except NoPrevious as nowhere:
        alone = HealthCheckResult(failed.name, failed.verdict, f"{failed.reason}. {nowhere}", failed.figures)
        return Decision(None, tuple(alone if check is failed else check for check in found))
    return Decision(back, tuple(found))


def _check_epoch(
    rollout: Rollout, name: HealthCheckName, tally: Tally, former: Tally, *, fresh: bool
) -> HealthCheckResult:
    plan, rows, requests = rollout.plan, tally.rows, sum(tally.latency)
    bad = tally.errors + tally.nan + tally.out_of_range
    late, enough = slower_than(tally.latency, plan.p99_latency_ms), needed(SPANS[name])
    p99, since = quantile(tally.latency, 0.99), f"this {name.rpartition(':')[2]}"
    figures = {"rows": rows, "bad": bad, "over_limit": late, "p99_ms": p99, "log_evidence_needed": enough}
    seen = f"{bad} of {rows} predictions {since} failed, were NaN or out of range"
    verdict, reason = HealthVerdict.PASS, f"{seen}; p99 {p99:.3g} ms"
    if fresh and hard_limit_exceeded(bad, rows, 0.0, plan.error_rate):
        verdict, reason = (
            HealthVerdict.FAIL,
            f"{seen}: the hard limit is exceeded (from {HARD_LIMIT} bad rows on)",
        )
    elif rows >= plan.window and log_e_above_limit(bad, rows, plan.error_rate) >= enough:
        verdict, reason = (
            HealthVerdict.FAIL,
            f"{seen}: significantly above rollback.error_rate ({plan.error_rate:.3g})",
        )
    elif requests >= plan.window and (
        min(
            log_e_late(tally.latency, plan.p99_latency_ms),
            log_e_later(tally.latency, former.latency, plan.p99_latency_ms),
        )
        >= enough
    ):
        slow = f"{late} of {requests} requests {since} took more than {plan.p99_latency_ms:g} ms"
        verdict, reason = HealthVerdict.FAIL, f"{slow}: p99 is significantly above rollback.p99_latency_ms"
    elif rows < plan.window:
        verdict, reason = (
            HealthVerdict.CONTINUE,
            f"{seen}; rates are tested from {plan.window} rows on (rollback.window)",
        )
    return HealthCheckResult(name, verdict, reason, figures)


def needed(span: timedelta, once_in: timedelta = ONCE_IN) -> float:
    """Return the log e-value that one test needs, for one false alarm of all tests in ``once_in``."""
    return -log(span / once_in / (_TESTS * len(SPANS)))
