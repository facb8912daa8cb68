"""Health check: both versions on the labelled requests that both predicted. Labels have the last word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from math import log

import numpy as np

from homeostat.core.rollout.evidence import LABELLED_PAIRS
from homeostat.core.rollout.health.check_names import HealthCheckName
from homeostat.core.rollout.health.paired_mean import log_e_mean_above_zero
from homeostat.core.rollout.health.result import (
    DOUBT,
    CandidateEvidence,
    HealthCheckResult,
    HealthVerdict,
)
from homeostat.core.rollout.label_pairs import PairLosses
from homeostat.core.rollout.phases import Phase, Plan

#: With fewer labelled pairs the check is inconclusive, unless they are significant already.
MIN_PAIRS = 30
#: Checks that only compare predictions with predictions: labels that show a better candidate settle them.
SETTLED_BY_LABELS = (
    HealthCheckName.DIVERGENCE,
    HealthCheckName.PREDICTION_DISTRIBUTION,
    HealthCheckName.CONFIDENCE,
)


def labels(evidence: CandidateEvidence) -> HealthCheckResult:
    """Check that the candidate is no worse than the champion on the labelled rows that both predicted.

    FAIL when its mean loss is significantly worse than ``gate.max_regression`` allows, by
    :func:`~homeostat.core.rollout.health.paired_mean.log_e_mean_above_zero`, which is valid at every
    evaluation and for every order and delay of the labels. PASS otherwise; when it is significantly better,
    that settles :data:`SETTLED_BY_LABELS` and eases the plan (:func:`ease_by_labels`). CONTINUE while it
    seems too much worse, but not significantly. INCONCLUSIVE without labels, or for a metric that is no mean
    over rows.
    """
    name, pairs = HealthCheckName.LABELS, evidence.tally(*LABELLED_PAIRS)
    losses = PairLosses.of(evidence.plan)
    figures: dict[str, float] = {"pairs": pairs.rows}
    if losses is None:
        reason = f"gate.metric {evidence.plan.metric or 'unknown'} is no mean over rows: labels do not decide"
        return HealthCheckResult(name, HealthVerdict.INCONCLUSIVE, reason, figures)
    counts = losses.histogram(pairs)
    total = counts.sum()
    if not total:
        reason = "no label has arrived for a request that both versions predicted"
        return HealthCheckResult(name, HealthVerdict.INCONCLUSIVE, reason, figures)
    levels = np.asarray(losses.levels)
    mine, theirs = (float(levels @ counts.sum(axis=axis) / total) for axis in (1, 0))
    worse = levels[:, None] - losses.slope * levels[None, :] - losses.margin
    better = levels[None, :] - levels[:, None]
    log_e_worse = log_e_mean_above_zero(worse, counts, -losses.slope - losses.margin)
    log_e_better = log_e_mean_above_zero(better, counts, -1.0)
    enough = -log(evidence.alpha)
    score, other = losses.score(mine), losses.score(theirs)
    figures |= {
        "score": score,
        "other_score": other,
        "log_evidence_worse": log_e_worse,
        "log_evidence_better": log_e_better,
        "log_evidence_needed": enough,
    }
    who, whom = _sides(evidence)
    seen = (
        f"on {pairs.rows} labelled requests that both predicted, {losses.metric} {score:.4g} of {who}"
        f" and {other:.4g} of {whom}"
    )
    allowed = f"gate.max_regression ({evidence.plan.max_regression:.3g})"
    if log_e_worse >= enough:
        verdict, found = HealthVerdict.FAIL, f": significantly worse than {allowed} allows"
    elif log_e_better >= enough:
        verdict, found = HealthVerdict.PASS, ": significantly better"
    elif pairs.rows < MIN_PAIRS:
        verdict, found = HealthVerdict.INCONCLUSIVE, f"; {MIN_PAIRS} are needed"
    elif log_e_worse >= DOUBT:
        verdict, found = (
            HealthVerdict.CONTINUE,
            f": worse than {allowed} allows, but not significantly",
        )
    else:
        verdict, found = HealthVerdict.PASS, f": no worse than {allowed} allows"
    return HealthCheckResult(name, verdict, seen + found, figures)


def settle_by_labels(checks: Iterable[HealthCheckResult]) -> tuple[HealthCheckResult, ...]:
    """Return the results with :data:`SETTLED_BY_LABELS` passed when the labels show a better candidate."""
    found = tuple(checks)
    if not any(check.name is HealthCheckName.LABELS and _shows_better(check) for check in found):
        return found
    return tuple(_settled(check) if check.name in SETTLED_BY_LABELS else check for check in found)


def ease_by_labels(plan: Plan, checks: Iterable[HealthCheckResult]) -> Plan:
    """Return the plan with fewer rows to wait for, when the labels show a better candidate.

    With little traffic the rows of ``min_samples`` take weeks, in which the worse version serves. Then
    :data:`MIN_PAIRS` rows suffice, and a canary step that would take longer than a day for them is skipped.
    """
    if not any(check.name is HealthCheckName.LABELS and _shows_better(check) for check in checks):
        return plan
    return replace(
        plan,
        shadow_min_samples=min(plan.shadow_min_samples, MIN_PAIRS),
        min_samples=min(plan.min_samples, MIN_PAIRS),
        max_step=None if plan.max_step is None else min(plan.max_step, timedelta(days=1)),
    )


def _shows_better(check: HealthCheckResult) -> bool:
    figures = check.figures
    needed = figures.get("log_evidence_needed")
    return needed is not None and figures["log_evidence_better"] >= needed


def _settled(check: HealthCheckResult) -> HealthCheckResult:
    if check.verdict not in (HealthVerdict.FAIL, HealthVerdict.CONTINUE):
        return check
    reason = f"{check.reason}. Settled by labels: they show that the candidate is better"
    return replace(check, verdict=HealthVerdict.PASS, reason=reason)


def _sides(evidence: CandidateEvidence) -> tuple[str, str]:
    if evidence.stage == Phase.CHAMPION:
        return "the new champion", "the former one"
    return "the candidate", "the champion"
