"""The effect of each promotion: the new version against the one before it on the same rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from homeostat.backtesting.policy_run import PolicyRun
from homeostat.backtesting.prediction_cache import PredictionCache
from homeostat.backtesting.windows import Window

EffectVerdict = Literal["better", "worse", "no_difference", "not_computable"]
#: A mean difference of more standard errors than this is significant.
SIGNIFICANT_STANDARD_ERRORS = 2.0
#: With fewer rows the effect is not computable.
MIN_ROWS = 30


@dataclass(frozen=True, slots=True)
class PromotionEffect:
    """The effect of one promotion, over the windows that the new version served.

    ``previous_score`` is the score of the version before on the same rows. ``verdict`` comes from a paired
    test of the losses row by row: significant beyond two standard errors of the mean difference.
    """

    window: Window
    version: str
    previous_version: str
    rows: int
    score: float | None
    previous_score: float | None
    verdict: EffectVerdict

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "at": self.window.actual_end.isoformat(),
            "version": self.version,
            "previous_version": self.previous_version,
            "rows": self.rows,
            "score": self.score,
            "previous_score": self.previous_score,
            "verdict": self.verdict,
        }


def promotion_effects(run: PolicyRun, cache: PredictionCache) -> list[PromotionEffect]:
    """Return the effect of every promotion of a run, in order."""
    windows = cache.history.windows
    last_served = [later.index for later in run.promotions[1:]] + [windows[-1].index] * bool(run.promotions)
    last_served = [
        last if promotion.until is None else min(last, promotion.until - 1)
        for promotion, last in zip(run.promotions, last_served, strict=True)
    ]
    effects = []
    for promotion, last in zip(run.promotions, last_served, strict=True):
        served = range(promotion.index + 1, last + 1)
        new = [cache.predictions(promotion.new, index) for index in served]
        old = [cache.predictions(promotion.old, index) for index in served]
        added_losses = [cache.losses(a) - cache.losses(b) for a, b in zip(new, old, strict=True)]
        effects.append(
            PromotionEffect(
                window=windows[promotion.index],
                version=promotion.new_version,
                previous_version=promotion.old_version,
                rows=sum(len(part.truth) for part in new),
                score=cache.score(new),
                previous_score=cache.score(old),
                verdict=_verdict(np.concatenate(added_losses) if added_losses else np.empty(0)),
            )
        )
    return effects


def _verdict(added_losses: np.ndarray) -> EffectVerdict:
    """Test whether the mean of the new version's additional loss per row differs from 0."""
    added_losses = added_losses[np.isfinite(added_losses)]
    if len(added_losses) < MIN_ROWS:
        return "not_computable"
    mean = float(added_losses.mean())
    standard_error = float(added_losses.std()) / math.sqrt(len(added_losses))
    if abs(mean) <= SIGNIFICANT_STANDARD_ERRORS * standard_error:
        return "no_difference"
    return "worse" if mean > 0 else "better"
