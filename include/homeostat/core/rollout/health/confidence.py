"""Health check: mean confidence."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from homeostat.core.rollout.evidence import CONFIDENCE_SLOTS
from homeostat.core.rollout.health.result import DOUBT, Case, HealthResult, conclude, incomparable
from homeostat.core.rollout.health.sequential import shifted

NAME = "confidence"
#: How far the mean confidence may move, relative to what it is held against.
TOLERANCE = 0.10


def confidence(case: Case) -> HealthResult:
    """Mean confidence within 10 % of the candidate's own in shadow, or of the control's without a shadow.

    FAIL needs both: confidences that surely changed
    (:func:`~homeostat.core.rollout.health.sequential.shifted`) and a mean more than 10 % off, also after
    taking off how the champion's own mean moved since shadow.
    INCONCLUSIVE when the model gives no confidences (regression, or no probabilities).
    """
    canary, own = case.canary, case.own_shadow
    n, own_rows = sum(canary.confidence), sum(own.confidence)
    reference, against = (
        (own.confidence, "its own in shadow")
        if own_rows
        else (case.canary_control.confidence, "the control's")
    )
    figures: dict[str, float] = {"answers": n, "reference_answers": sum(reference)}
    if not n or not sum(reference):
        return incomparable(case, NAME, "no confidences to compare", figures)
    mean, expected = mean_confidence(canary.confidence), mean_confidence(reference)
    change = mean / expected - 1.0
    natural = _natural(case) if own_rows else 0.0
    wealth = shifted(reference, canary.confidence, frozen=own_rows > 0)
    enough = -log(case.alpha)
    figures |= {
        "mean": mean,
        "expected": expected,
        "change": change,
        "change_champion": natural,
        "log_evidence": wealth,
        "log_evidence_needed": enough,
    }
    seen = f"mean {mean:.3f} over {n} answers, {against} {expected:.3f} ({change:+.1%})"
    matters = min(abs(change), abs(change - natural)) > TOLERANCE
    return conclude(
        case,
        NAME,
        seen,
        figures,
        fail=f"surely more than {TOLERANCE:.0%} off" if matters and wealth >= enough else "",
        doubt="off, but not surely so" if matters and wealth >= DOUBT else "",
        fine=f"within {TOLERANCE:.0%}",
    )


def mean_confidence(counts: Sequence[int]) -> float:
    """The mean of counts over equal slots of [0, 1], by the slots' middles (at most half a slot off)."""
    slots = np.asarray(counts, dtype=np.float64)
    middles = (np.arange(slots.size) + 0.5) / CONFIDENCE_SLOTS
    return float((slots * middles).sum() / slots.sum())


def _natural(case: Case) -> float:
    then, now = case.champion_then.confidence, case.champion_now.confidence
    if not sum(then) or not sum(now):
        return 0.0
    return mean_confidence(now) / mean_confidence(then) - 1.0
