"""Decay: how much worse than its own baseline a version has become."""

from __future__ import annotations

import math
from collections.abc import Sequence

from homeostat.core.performance.metrics import higher_is_better

#: The current score is the mean of so many batches: one bad hour is not decay.
BATCHES = 10
#: Metrics without an upper limit, compared relatively: 3 instead of 2 is as bad as 300 instead of 200.
RELATIVE = ("mae", "rmse", "log_loss")


def decay(baseline: float, recent_scores: Sequence[float], metric: str) -> float | None:
    """Return the loss against the baseline; positive is worse, None without scores.

    The mean of the last ten scores is compared. Metrics whose best is 1 (accuracy, f1, r2, ...) lose
    absolutely, in points: 0.90 to 0.78 is 0.12. Errors and losses grow relatively: a mae of 12 where
    10 was usual is 0.2. Scores that are not finite are left out.
    """
    recent = [value for value in recent_scores if value is not None and math.isfinite(value)][-BATCHES:]
    if not recent or baseline is None or not math.isfinite(baseline):
        return None
    lost = baseline - math.fsum(recent) / len(recent)
    if not higher_is_better(metric):
        lost = -lost
    if metric in RELATIVE:
        lost /= max(abs(baseline), 1e-12)  # a baseline of 0: any error is decay
    return round(lost, 12) + 0.0  # so that 0.9 - 0.8 reaches a limit of 0.1
