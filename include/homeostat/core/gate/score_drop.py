"""How much worse one score is than another, in the metric's own direction."""

from __future__ import annotations

import math

#: Metrics in which less is better. They have no upper bound, so they are compared relatively.
ERRORS = ("log_loss", "mae", "rmse")


def score_drop(metric: str, candidate: float, champion: float) -> float:
    """Return how much worse the candidate is than the champion; negative when it is better.

    Absolute for metrics of which more is better (accuracy 0.90 against 0.92 is 0.02), relative to the
    champion for errors (a mean absolute error of 102 against 100 is 0.02). Against an error of exactly
    0, anything worse is infinitely worse.
    """
    if metric not in ERRORS:
        return champion - candidate
    worse = candidate - champion
    if champion == 0:
        return math.inf if worse > 0 else 0.0
    return worse / abs(champion)


def is_tolerated(found: float, most: float) -> bool:
    """Return ``found <= most`` up to rounding errors (0.92 - 0.90 > 0.02)."""
    return found <= most or math.isclose(found, most, rel_tol=1e-9, abs_tol=1e-12)
