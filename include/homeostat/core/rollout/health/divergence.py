"""Health check of the shadow phase: the candidate disagrees with the champion as often as expected.

A better model disagrees with a stale champion. What it must match is the disagreement that both versions
showed before the rollout: on the requests that were logged last, or else on the gate's holdout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from scipy.special import betaincinv

from homeostat.core.rollout.evidence import HOLDOUT, RECENT, Tally
from homeostat.core.rollout.health.check_names import HealthCheckName
from homeostat.core.rollout.health.result import (
    DOUBT,
    CandidateEvidence,
    HealthCheckResult,
    HealthVerdict,
)
from homeostat.core.rollout.health.sequential import (
    distance,
    log_e_above_limit,
    log_e_shift,
    rate_interval,
)

#: An expectation from fewer rows is too uncertain to hold a candidate to it.
MIN_EXPECTED_ROWS = 100
#: From this Kolmogorov-Smirnov distance of the champion's predictions on, the inputs have moved.
MOVED = 0.1
#: A bin with fewer rows has no rate of its own.
_MIN_BIN_ROWS = 10


@dataclass(frozen=True, slots=True)
class _Expected:
    """The disagreement that is expected: a rate from so many rows (0: exact), and where it was seen."""

    rate: float
    rows: int
    where: str


def divergence(evidence: CandidateEvidence) -> HealthCheckResult:
    """Check that the candidate disagrees at most ``max_divergence`` more often than expected.

    The expectation is weighted with how often the champion makes each prediction now. FAIL as soon as the
    disagreement is significantly above the limit plus the upper confidence bound of the expectation; bound
    and test take half of alpha each. CONTINUE before there are enough rows, and while the disagreement is
    above limit plus expectation, but not significantly. INCONCLUSIVE, which does not block, without an
    expectation from at least :data:`MIN_EXPECTED_ROWS` rows, and where the disagreement is above while the
    champion's own predictions show that the inputs have moved.

    A rollout that began under release 0.1 expects no disagreement.
    """
    name, shadow, limit = HealthCheckName.DIVERGENCE, evidence.own_shadow, evidence.plan.max_divergence
    low, high = rate_interval(shadow.diverged, shadow.compared, evidence.alpha)
    figures: dict[str, float] = {
        "compared": shadow.compared,
        "diverged": shadow.diverged,
        "dropped": shadow.dropped,
        "low": low,
        "high": high,
        "limit": limit,
    }
    if not shadow.compared:
        reason = "no rows were compared with the champion yet"
        return HealthCheckResult(name, HealthVerdict.CONTINUE, reason, figures)
    rate = shadow.diverged / shadow.compared
    before, where = _before(evidence)
    expected = _expected(evidence, before, where)
    seen = (
        f"{shadow.diverged} of {shadow.compared} predictions differ from the champion's:"
        f" {rate:.1%} ({low:.1%} to {high:.1%})"
    )
    if expected is None:
        reason = (
            f"{seen}; only {before.compared} rows show what to expect, {MIN_EXPECTED_ROWS} are needed:"
            " it cannot be judged"
        )
        return HealthCheckResult(name, HealthVerdict.INCONCLUSIVE, reason, figures)
    alpha = evidence.alpha / 2
    high_expected = upper_bound(expected.rate, expected.rows, alpha) if expected.rows else expected.rate
    log_e, enough = log_e_above_limit(shadow.diverged, shadow.compared, high_expected + limit), -log(alpha)
    figures |= {
        "expected": expected.rate,
        "expected_high": high_expected,
        "expected_rows": expected.rows,
        "log_evidence": log_e,
        "log_evidence_needed": enough,
    }
    seen += f", {expected.rate:.1%} expected from {expected.where}" if expected.where else ""
    beyond = f"shadow.max_divergence allows {limit:.1%}" + (" more" if expected.where else "")
    above = rate - expected.rate > limit
    if above and expected.where and _inputs_moved(before, shadow):
        verdict, found = HealthVerdict.INCONCLUSIVE, "the inputs have moved since: it cannot be judged"
    elif log_e >= enough:
        verdict, found = HealthVerdict.FAIL, f"{beyond}: significantly above"
    elif shadow.compared < evidence.plan.shadow_min_samples:
        needed = f"{evidence.plan.shadow_min_samples} rows are needed (shadow.min_samples)"
        verdict, found = HealthVerdict.CONTINUE, needed
    elif above:
        verdict, found = HealthVerdict.CONTINUE, f"{beyond}: above, but not significantly"
    else:
        verdict, found = HealthVerdict.PASS, f"{beyond}: within"
    return HealthCheckResult(name, verdict, f"{seen}; {found}", figures)


def upper_bound(rate: float, rows: int, alpha: float) -> float:
    """Return the upper confidence bound of a rate seen in ``rows`` rows; it is too low with chance ``alpha``.

    Clopper & Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26.
    """
    count = rate * rows
    return float(betaincinv(count + 1.0, rows - count, 1.0 - alpha)) if count < rows else 1.0


def _before(evidence: CandidateEvidence) -> tuple[Tally, str]:
    """Return the disagreement on the requests logged before the rollout, or else on the holdout."""
    recent = evidence.tally(*RECENT)
    if recent.compared >= MIN_EXPECTED_ROWS:
        return recent, "recent requests"
    return evidence.tally(*HOLDOUT), "its holdout"


def _expected(evidence: CandidateEvidence, before: Tally, where: str) -> _Expected | None:
    if evidence.plan.rules < 2:
        return _Expected(0.0, 0, "")
    if before.compared < MIN_EXPECTED_ROWS:
        return None
    rate = weighted_rate(before, evidence.own_shadow.compared_bins)
    return _Expected(rate, before.compared, where)


def weighted_rate(before: Tally, now: Sequence[int]) -> float:
    """Return the disagreement seen before, weighted with how often the champion makes each prediction now.

    Parameters
    ----------
    now
        Rows by the bin of the champion's prediction; empty: the rate as it was.
    """
    overall = before.diverged / before.compared
    if not sum(now) or not sum(before.compared_bins):
        return overall
    size = max(len(now), len(before.compared_bins), len(before.diverged_bins))
    weights, rows, events = (
        np.pad(np.asarray(counts, dtype=np.float64), (0, size - len(counts)))
        for counts in (now, before.compared_bins, before.diverged_bins)
    )
    rates = np.where(rows >= _MIN_BIN_ROWS, events / np.maximum(rows, 1.0), overall)
    return float(weights @ rates / weights.sum())


def _inputs_moved(before: Tally, shadow: Tally) -> bool:
    """Whether the champion, which is the same version then and now, predicts otherwise than before."""
    then, now = before.compared_bins, shadow.compared_bins
    return distance(then, now) > MOVED and log_e_shift(then, now, frozen=True) >= DOUBT
