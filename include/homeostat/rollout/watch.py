"""Watching a fresh champion: a version is not out of the woods when its canary is over."""

from __future__ import annotations

from datetime import datetime
from math import log

from homeostat.config.errors import NoPrevious
from homeostat.rollout.decide import Decision
from homeostat.rollout.evidence import Tally
from homeostat.rollout.health import ALPHA, HealthResult, Verdict
from homeostat.rollout.health.latency import quantile, slower_than
from homeostat.rollout.health.sequential import surely_more_often
from homeostat.rollout.health.trip import TRIP, tripped
from homeostat.rollout.phases import Phase, Rollout, Traffic
from homeostat.rollout.transitions import roll_back

#: Error rate and p99, each with half of alpha.
_ENOUGH = -log(ALPHA / 2)


def watch(traffic: Traffic, tally: Tally, now: datetime) -> Decision:
    """Take back a promoted champion whose answers go bad, when there is a version to go back to.

    Hard trips count for one more ``step_duration`` after the promotion, as in a last canary step (an old
    champion that meets three poisoned rows is not swapped for an older one). The plan's limits, error rate
    and p99 latency, count as long as it is champion, from the plan's ``window`` of answers on and by tests
    that stay valid however often one looks at a growing tally.

    A champion that a rollback put back is not watched: the version to go back to is the one that was just
    taken from traffic. Where there is no version to go back to, the failed check says so and the transition
    is None.

    Parameters
    ----------
    tally
        What the champion did since its promotion, or lately.
    """
    rollout = traffic.rollout
    if rollout is None or rollout.phase is not Phase.CHAMPION or rollout.candidate != traffic.champion:
        return Decision(None)
    check = _examine(rollout, tally, fresh=now - rollout.entered_at <= rollout.plan.step_duration)
    if check.verdict is not Verdict.FAIL:
        return Decision(None, (check,))
    try:
        return Decision(roll_back(traffic, f"fresh champion failed: {check.reason}", now), (check,))
    except NoPrevious as nowhere:
        alone = HealthResult(check.name, check.verdict, f"{check.reason}. {nowhere}", check.figures)
        return Decision(None, (alone,))


def _examine(rollout: Rollout, tally: Tally, *, fresh: bool) -> HealthResult:
    plan, rows, requests = rollout.plan, tally.answers, sum(tally.latency)
    bad = tally.errors + tally.nan + tally.out_of_range
    late = slower_than(tally.latency, plan.p99_latency_ms)
    figures = {"answers": rows, "bad": bad, "over_limit": late, "p99_ms": quantile(tally.latency, 0.99)}
    seen = f"{bad} of {rows} answers failed, were NaN or out of range"
    verdict, reason = Verdict.PASS, f"{seen}; p99 {figures['p99_ms']:.3g} ms"
    if fresh and tripped(bad, rows, 0.0, plan.error_rate):
        verdict, reason = Verdict.FAIL, f"{seen}: {TRIP} and more trip at once"
    elif rows >= plan.window and surely_more_often(bad, rows, plan.error_rate) >= _ENOUGH:
        verdict, reason = Verdict.FAIL, f"{seen}: surely above the limit of {plan.error_rate:.3g}"
    elif requests >= plan.window and surely_more_often(late, requests, 0.01) >= _ENOUGH:
        slow = f"{late} of {requests} requests took more than {plan.p99_latency_ms:g} ms"
        verdict, reason = Verdict.FAIL, f"{slow}: p99 is surely above the limit"
    elif rows < plan.window:
        verdict, reason = Verdict.CONTINUE, f"{seen}; {plan.window} answers are needed to judge rates"
    return HealthResult("champion", verdict, reason, figures)
