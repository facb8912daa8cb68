"""Shared by the checks of bad predictions: hard limit, increase over the champion, the plan's error rate."""

from __future__ import annotations

from collections.abc import Callable
from math import log

from homeostat.core.rollout.evidence import CHAMPION, CONTROL, Tally
from homeostat.core.rollout.health.check_names import HealthCheckName
from homeostat.core.rollout.health.hard_limit import HARD_LIMIT, hard_limit_exceeded
from homeostat.core.rollout.health.result import (
    DOUBT,
    CandidateEvidence,
    HealthCheckResult,
    conclude,
    incomparable,
    total,
)
from homeostat.core.rollout.health.sequential import log_e_above_limit, log_e_excess, rate_interval

#: The part of alpha for the comparison with the champion; the rest is for the plan's error rate. With the
#: errors' part of alpha it lets three errors beside none of the champion decide at a share of 10 %.
EXCESS_PART = 0.8


def check_bad_rows(
    evidence: CandidateEvidence, name: HealthCheckName, what: str, bad: Callable[[Tally], int]
) -> HealthCheckResult:
    """Check that the candidate has no more bad predictions than the champion.

    FAIL, in this order: the hard limit of :mod:`~homeostat.core.rollout.health.hard_limit` within this stage;
    significantly more than the champion over all stages, by
    :func:`~homeostat.core.rollout.health.sequential.log_e_excess`; a rate significantly above the plan's
    ``error_rate``, from ``window`` rows on. The comparison takes :data:`EXCESS_PART` of alpha, the limit the
    rest. CONTINUE while there are too few rows, or while the candidate seems to have more than the champion,
    but not significantly.
    INCONCLUSIVE at a share of 1, where no control serves and only the hard limit and ``error_rate`` apply.

    Parameters
    ----------
    what
        The bad predictions in plain words, for the reason.
    bad
        Counts them in a tally.
    """
    now = evidence.candidate
    count, rows = bad(now), now.rows
    champion = total(other for _, other in evidence.sides)
    champion_count, champion_rows = bad(champion), champion.rows
    log_e = log_e_excess([(bad(own), own.rows, bad(other), other.rows) for own, other in evidence.sides])
    over = log_e_above_limit(count, rows, evidence.plan.error_rate) if rows >= evidence.plan.window else 0.0
    low, high = rate_interval(count, rows, evidence.alpha)
    enough = -log(EXCESS_PART * evidence.alpha)
    # One test in shadow and in each step.
    enough_over = -log((1.0 - EXCESS_PART) * evidence.alpha / (evidence.tests + 1))
    figures: dict[str, float] = {
        "bad": count,
        "rows": rows,
        "champion_bad": champion_count,
        "champion_rows": champion_rows,
        "rate_low": low,
        "rate_high": high,
        "log_evidence": log_e,
        "log_evidence_needed": enough,
    }
    seen = f"{count} of {rows} predictions {what}; the champion's: {champion_count} of {champion_rows}"
    fail = ""
    # When both fail in this stage, the champion's rate in this stage counts, not its average of cleaner
    # hours.
    beside = evidence.tally(evidence.stage, CHAMPION) + evidence.tally(evidence.stage, CONTROL)
    usual = max(_rate(champion_count, champion_rows), _rate(bad(beside), beside.rows))
    if hard_limit_exceeded(count, rows, usual, evidence.plan.error_rate):
        fail = f"the hard limit is exceeded (from {HARD_LIMIT} bad rows on)"
    elif log_e >= enough:
        fail = "significantly more than the champion's"
    elif over >= enough_over:
        fail = f"significantly above rollback.error_rate ({evidence.plan.error_rate:.3g})"
    if not fail and not beside.rows and log_e < DOUBT:
        return incomparable(
            evidence, name, f"{seen}; no other version serves traffic to compare with", figures
        )
    return conclude(
        evidence,
        name,
        seen,
        figures,
        fail=fail,
        doubt="more, but not significantly" if log_e >= DOUBT else "",
        fine="no more than the champion's",
    )


def _rate(count: int, rows: int) -> float:
    return count / rows if rows else 0.0
