"""Health check: the candidate answers in traffic as it did in shadow."""

from __future__ import annotations

from math import log, sqrt

from homeostat.core.rollout.evidence import Tally
from homeostat.core.rollout.health.result import DOUBT, Case, HealthResult, Verdict, conclude, incomparable
from homeostat.core.rollout.health.sequential import distance, radius, shifted

NAME = "prediction_distribution"
#: A smaller move of the distribution is no reason to take a version back, however sure it is.
MIN_EFFECT = 0.1
#: How far the answers may lie from the control cohort's: wide, since a better model answers differently.
GUARDRAIL = 0.5


def prediction_distribution(case: Case) -> HealthResult:
    """Predictions of all canary steps against the candidate's *own* shadow predictions.

    A better model should answer otherwise than a stale champion, so the champion is no measure; what the
    candidate did with the same traffic unseen, is. FAIL needs both: a move that is sure
    (:func:`~homeostat.core.rollout.health.sequential.shifted`, on the candidate's frozen edges) and one that
    matters: a Kolmogorov-Smirnov distance above 0.1 beyond how far the champion's own answers moved in the
    same time, because inputs change between night and day. The distance to the control cohort is only a
    guardrail: 0.5, or 0.2 more than shadow had shown, beyond the bands of both sides
    (:func:`~homeostat.core.rollout.health.sequential.radius`). Half of alpha goes to each of the two.

    When shadow was skipped there is nothing of its own to compare with: INCONCLUSIVE, which does not
    block; the guardrail stays.
    """
    canary, control, own, then = case.canary, case.canary_control, case.own_shadow, case.champion_then
    n, alpha = sum(canary.predictions), case.alpha / 2
    figures: dict[str, float] = {"answers": n, "shadow_answers": sum(own.predictions)}
    if not n:
        return incomparable(case, NAME, "no predictions of the candidate were counted", figures)
    outside = _outside_guardrail(case, canary, control, alpha, figures)
    if outside:
        return HealthResult(NAME, Verdict.FAIL, outside, figures)
    if not sum(own.predictions):
        reason = "shadow was skipped or gave no answers: nothing of its own to compare with"
        return HealthResult(NAME, Verdict.INCONCLUSIVE, reason, figures)
    moved, natural = distance(own.predictions, canary.predictions), _natural(then, case.champion_now, n)
    wealth, enough = shifted(own.predictions, canary.predictions, frozen=True), -log(alpha)
    figures |= {"ks": moved, "ks_champion": natural, "log_evidence": wealth, "log_evidence_needed": enough}
    matters = moved - natural > MIN_EFFECT
    seen = f"KS distance {moved:.3f} to its own shadow answers over {n} (the champion's: {natural:.3f})"
    return conclude(
        case,
        NAME,
        seen,
        figures,
        fail="surely moved" if matters and wealth >= enough else "",
        doubt=f"above {MIN_EFFECT}, but not surely so" if matters and wealth >= DOUBT else "",
        fine="as in shadow",
    )


def _outside_guardrail(
    case: Case, canary: Tally, control: Tally, alpha: float, figures: dict[str, float]
) -> str:
    n, m = sum(canary.predictions), sum(control.predictions)
    if not m:
        return ""
    apart = distance(control.predictions, canary.predictions)
    shown = distance(case.champion_then.predictions, case.own_shadow.predictions)
    limit = max(GUARDRAIL, shown + 0.2)
    surely = apart - radius(n, alpha / 2) - radius(m, alpha / 2)
    figures |= {"ks_control": apart, "ks_control_low": max(0.0, surely), "ks_control_limit": limit}
    if surely <= limit:
        return ""
    return f"KS distance {apart:.3f} to the control cohort: surely beyond the guardrail of {limit:.2f}"


def _natural(then: Tally, now: Tally, answers: int) -> float:
    """How far the champion's answers may have moved since shadow; 0 unless they seem to have moved at all.

    Chance alone moves the observed distance of a few hundred answers; taking that off the candidate's own
    would excuse what should be caught. Once the champion has seemingly moved, chance is added instead: its
    own, and that of the candidate's ``answers``, few of which lie farther off than the truth.
    """
    m, n = sum(then.predictions), sum(now.predictions)
    if not m or not n or shifted(then.predictions, now.predictions, frozen=True) < DOUBT:
        return 0.0
    return distance(then.predictions, now.predictions) + sqrt(1 / m + 1 / n) + sqrt(1 / answers)
