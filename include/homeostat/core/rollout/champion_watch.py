"""Watching a champion: a version is not out of the woods when its canary is over.

A test that stays valid while its counts grow promises nothing on a window that slides: each look then begins
a new test, and months have many. Here the tests begin anew at fixed times, in
epochs of an hour and of a day, and each of them may err with a chance that is its share of :data:`ONCE_IN`:
the chance of a false alarm within a time t is at most ``t / ONCE_IN``, by the sum over the epochs that begin
in it. (The idea of Shin, Ramdas & Rinaldo 2023, "E-detectors: a nonparametric framework for sequential change
detection", New England Journal of Statistics in Data Science 2, with the starting times on a fixed grid, so
that sums over whole hours and days are all that has to be kept.) The hour sees a sudden fault at its full
size, the day a slow one in little traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import log

from homeostat.config.errors import NoPrevious
from homeostat.core.rollout.decide import Decision
from homeostat.core.rollout.evidence import CHAMPION, Evidence, Tally
from homeostat.core.rollout.health import HealthResult, Verdict
from homeostat.core.rollout.health.hard_limit import TRIP, tripped
from homeostat.core.rollout.health.latency import quantile, slower_than, surely_late
from homeostat.core.rollout.health.sequential import surely_more_often
from homeostat.core.rollout.phases import Phase, Rollout, Traffic
from homeostat.core.rollout.transitions import roll_back

#: A champion that is always just as bad as its limits allow is taken back at most once in this time.
ONCE_IN = timedelta(days=365)
#: How long the tests go on before they begin anew, by the name under which the counts are kept.
SPANS: Mapping[str, timedelta] = {"champion:hour": timedelta(hours=1), "champion:day": timedelta(days=1)}
#: Error rate and p99.
_TESTS = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def epochs(traffic: Traffic, now: datetime) -> dict[str, datetime]:
    """When the epochs began that the present moment lies in: whole UTC hours and days, or the promotion.

    Empty when there is no champion to watch: it was put there by a rollback, or a rollout is under way.
    What the champion did since each of them is what :func:`watch` wants to see.
    """
    rollout = traffic.rollout
    if rollout is None or rollout.phase is not Phase.CHAMPION or rollout.candidate != traffic.champion:
        return {}
    # Promoted in the future: a clock was set back, and what is counted from now on lies before the promotion.
    entered = rollout.entered_at if rollout.entered_at <= now else _EPOCH
    return {name: max(entered, now - (now - _EPOCH) % span) for name, span in SPANS.items()}


def watch(traffic: Traffic, evidence: Evidence, now: datetime) -> Decision:
    """Take back a promoted champion whose answers go bad, when there is a version to go back to.

    Hard trips count for one more ``step_duration`` after the promotion, as in a last canary step (an old
    champion that meets three poisoned rows is not swapped for an older one). The plan's limits, error rate
    and p99 latency, count as long as it is champion, from the plan's ``window`` of answers in an epoch on.

    A champion that a rollback put back is not watched: the version to go back to is the one that was just
    taken from traffic. Where there is no version to go back to, the failed check says so and the transition
    is None.

    Parameters
    ----------
    evidence
        What the champion did in the epochs now under way, under the names of :data:`SPANS` as stages and
        ``champion`` as variant.
    """
    rollout = traffic.rollout
    begun = epochs(traffic, now)
    if rollout is None or not begun:
        return Decision(None)
    fresh = now - rollout.entered_at <= rollout.plan.step_duration
    found = [_examine(rollout, name, evidence.get((name, CHAMPION), Tally()), fresh=fresh) for name in begun]
    failed = next((check for check in found if check.verdict is Verdict.FAIL), None)
    if failed is None:
        return Decision(None, tuple(found))
    try:
        back = roll_back(traffic, f"champion failed: {failed.reason}", now)
    except NoPrevious as nowhere:
        alone = HealthResult(failed.name, failed.verdict, f"{failed.reason}. {nowhere}", failed.figures)
        return Decision(None, tuple(alone if check is failed else check for check in found))
    return Decision(back, tuple(found))


def _examine(rollout: Rollout, name: str, tally: Tally, *, fresh: bool) -> HealthResult:
    plan, rows, requests = rollout.plan, tally.answers, sum(tally.latency)
    bad = tally.errors + tally.nan + tally.out_of_range
    late, enough = slower_than(tally.latency, plan.p99_latency_ms), needed(SPANS[name])
    p99, since = quantile(tally.latency, 0.99), f"this {name.rpartition(':')[2]}"
    figures = {"answers": rows, "bad": bad, "over_limit": late, "p99_ms": p99, "log_evidence_needed": enough}
    seen = f"{bad} of {rows} answers {since} failed, were NaN or out of range"
    verdict, reason = Verdict.PASS, f"{seen}; p99 {p99:.3g} ms"
    if fresh and tripped(bad, rows, 0.0, plan.error_rate):
        verdict, reason = Verdict.FAIL, f"{seen}: {TRIP} and more trip at once"
    elif rows >= plan.window and surely_more_often(bad, rows, plan.error_rate) >= enough:
        verdict, reason = Verdict.FAIL, f"{seen}: surely above the limit of {plan.error_rate:.3g}"
    elif requests >= plan.window and surely_late(tally.latency, plan.p99_latency_ms) >= enough:
        slow = f"{late} of {requests} requests {since} took more than {plan.p99_latency_ms:g} ms"
        verdict, reason = Verdict.FAIL, f"{slow}: p99 is surely above the limit"
    elif rows < plan.window:
        verdict, reason = Verdict.CONTINUE, f"{seen}; {plan.window} answers are needed to judge rates"
    return HealthResult(name, verdict, reason, figures)


def needed(span: timedelta, once_in: timedelta = ONCE_IN) -> float:
    """The log evidence that one test of an epoch needs, for a false alarm of all of them in ``once_in``."""
    return -log(span / once_in / (_TESTS * len(SPANS)))
