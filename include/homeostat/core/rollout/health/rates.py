"""What the checks on bad answers share: trip, increase over the champion, the plan's own limit."""

from __future__ import annotations

from collections.abc import Callable
from math import log

from homeostat.core.rollout.evidence import CHAMPION, CONTROL, Tally
from homeostat.core.rollout.health.hard_limit import TRIP, tripped
from homeostat.core.rollout.health.result import DOUBT, Case, HealthResult, conclude, incomparable, total
from homeostat.core.rollout.health.sequential import excess, rate_interval, surely_more_often


def judge(case: Case, name: str, what: str, bad: Callable[[Tally], int]) -> HealthResult:
    """No more bad answers than the champion gives.

    FAIL, in this order: the hard limit of :mod:`~homeostat.core.rollout.health.hard_limit` within this
    stage; more than in the champion's version over all stages, by
    :func:`~homeostat.core.rollout.health.sequential.excess`; a rate surely above the plan's ``error_rate``, from the plan's ``window`` of answers on. The two tests take half
    of alpha each. CONTINUE while there are too few answers, or while the candidate seems to have more
    than the champion, but not surely so. INCONCLUSIVE at a share of 1, where nobody answers beside it and
    only the trip and the limit hold.

    Parameters
    ----------
    what
        The bad answers in plain words, for the reason.
    bad
        Counts them in a tally.
    """
    now = case.candidate
    count, rows = bad(now), now.answers
    champion = total(other for _, other in case.sides)
    champion_count, champion_rows = bad(champion), champion.answers
    wealth = excess([(bad(own), own.answers, bad(other), other.answers) for own, other in case.sides])
    over = surely_more_often(count, rows, case.plan.error_rate) if rows >= case.plan.window else 0.0
    low, high = rate_interval(count, rows, case.alpha)
    enough = -log(case.alpha / 2)
    figures: dict[str, float] = {
        "bad": count,
        "answers": rows,
        "champion_bad": champion_count,
        "champion_answers": champion_rows,
        "rate_low": low,
        "rate_high": high,
        "log_evidence": wealth,
        "log_evidence_needed": enough,
    }
    seen = f"{count} of {rows} answers {what}; the champion's: {champion_count} of {champion_rows}"
    fail = ""
    # A bad hour of both counts by what the champion does in it, not by the clean hours before.
    beside = case.tally(case.stage, CHAMPION) + case.tally(case.stage, CONTROL)
    usual = max(_rate(champion_count, champion_rows), _rate(bad(beside), beside.answers))
    if tripped(count, rows, usual, case.plan.error_rate):
        fail = f"{TRIP} and more trip at once"
    elif wealth >= enough:
        fail = "surely more than the champion's"
    elif over >= enough + log(case.tests + 1):  # afresh in shadow and in every step
        fail = f"surely above the limit of {case.plan.error_rate:.3g}"
    if not fail and not beside.answers and wealth < DOUBT:
        return incomparable(case, name, f"{seen}; nobody answers beside it to compare with", figures)
    return conclude(
        case,
        name,
        seen,
        figures,
        fail=fail,
        doubt="more, but not surely so" if wealth >= DOUBT else "",
        fine="no more than the champion's",
    )


def _rate(count: int, rows: int) -> float:
    return count / rows if rows else 0.0
