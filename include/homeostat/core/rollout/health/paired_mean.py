"""Sequential test of a mean of bounded values, from how often each value occurred.

A gambler who bets the share ``b`` of the wealth on every value ``d`` holds the product of ``1 + b d``. While
the mean is at most 0 whatever came before, no bet with ``b >= 0`` gains on average, so that the wealth ever
reaches 1/alpha with a probability of at most alpha (Waudby-Smith & Ramdas 2024, "Estimating means of bounded
random variables by betting", Journal of the Royal Statistical Society B 86). The bets are constant and their
wealths averaged, so that only the counts matter, in whatever order the values came.
"""

from __future__ import annotations

import numpy as np

from homeostat.core.rollout.health.sequential import Floats, log_mean

#: Bets as parts of the largest possible one, each half of the one before.
_BETS = 0.9 * 0.5 ** np.arange(12)


def log_e_mean_above_zero(values: Floats, counts: Floats, lowest: float) -> float:
    """Return the log e-value against "the mean is at most 0".

    Parameters
    ----------
    values, counts
        The distinct values and how often each occurred, of the same shape.
    lowest
        The lowest value that is possible; below 0.
    """
    seen = counts > 0
    if not seen.any():
        return 0.0
    bets = _BETS / -lowest
    gains = np.log1p(bets[:, None] * values[seen][None, :]) @ counts[seen]
    return log_mean(gains, np.full(bets.size, 1.0 / bets.size))
