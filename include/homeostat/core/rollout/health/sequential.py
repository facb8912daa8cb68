"""Sequential tests by betting: valid at every evaluation and at any stopping time.

Each ``log_e_*`` function returns the logarithm of an e-value: the wealth of a gambler who starts with 1 and
bets against "nothing is wrong" at fair odds. If nothing is wrong, the probability that the wealth *ever*
reaches 1/alpha is at most alpha (Ville's inequality), so a check may be evaluated after every request at no
cost.

The bets are mixtures over all alternatives (Robbins 1970, "Statistical methods related to the law of the
iterated logarithm"; Howard, Ramdas, McAuliffe & Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic
confidence sequences", Annals of Statistics 49). For binary counts the mixture is the beta-binomial, which
needs only the totals: evidence of any number of gateways adds up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincc, betaln, logsumexp, xlog1py, xlogy

Floats = NDArray[np.float64]


def log_e_above_limit(count: float, rows: float, limit: float) -> float:
    """Return the log e-value against "the rate is at most ``limit``", from ``count`` events in ``rows``.

    0 while the observed rate is not above the limit. Jeffreys' prior, truncated at the limit, mixes
    the alternatives: all bets are on a higher rate, so that fluctuation below the limit wins nothing.
    """
    if rows <= 0 or limit >= 1.0 or count <= limit * rows:
        return 0.0
    limit = max(limit, 1e-9)
    above = log(float(betaincc(count + 0.5, rows - count + 0.5, limit)) / float(betaincc(0.5, 0.5, limit)))
    return float(_mixture(count, rows, 0.5, 0.5) - _likelihood(count, rows, limit)) + above


def log_e_excess(pairs: Sequence[tuple[int, int, int, int]]) -> float:
    """Return the log e-value against "an event is no likelier on the first side than on the second".

    While the shares of the two sides stay the same within a stage, and both are equally prone, each event
    falls on the first side with the chance of its share, whatever happened before: events are coin flips,
    and a gambler bets on that coin with a uniform mixture over all greater chances. Stages multiply, so
    their shares may differ.

    Parameters
    ----------
    pairs
        Per stage: events and rows of the first side, events and rows of the second.
    """
    wealth = 0.0
    for events, rows, other_events, other_rows in pairs:
        if rows <= 0 or other_rows <= 0 or events + other_events == 0:
            continue
        share = rows / (rows + other_rows)
        tail = float(betaincc(events + 1, other_events + 1, share))
        if tail <= 0.0:
            # Almost certain that the first side is less prone: a large negative value instead of minus
            # infinity.
            wealth -= 50.0
            continue
        bet = log(tail) + float(betaln(events + 1, other_events + 1)) - log(1.0 - share)
        wealth += bet - events * log(share) - other_events * log(1.0 - share)
    return wealth


def log_e_shift(reference: Sequence[int], current: Sequence[int], *, frozen: bool) -> float:
    """Return the log e-value against "both sides draw from the same distribution", from binned counts.

    At every threshold between two bins the sides are compared as two proportions: for a common
    probability p each side alone is an e-process against p, their product is one against "both are p", and
    the smallest value over all p (at the pooled proportion) is what is kept. The average over the
    thresholds is an e-process again; no correction for their number is needed.

    Parameters
    ----------
    reference, current
        Counts per bin; a shorter one is filled up with zeros.
    frozen
        The reference was complete before ``current`` began. It then also says where to bet: thresholds
        count by the reference's own mass, and alternatives lie around its proportions.
    """
    ref, cur = _aligned(reference, current)
    below_ref, below_cur = np.cumsum(ref)[:-1], np.cumsum(cur)[:-1]
    m, n = float(ref.sum()), float(cur.sum())
    if m <= 0 or n <= 0 or below_ref.size == 0:
        return 0.0
    evidence = _two_proportions(below_ref, m, below_cur, n, frozen=frozen)
    weight = ref[:-1] + ref[1:] + 1.0 / ref.size if frozen else np.ones_like(below_ref)
    return float(logsumexp(evidence, b=weight / weight.sum()))


def log_e_slower(
    control: Sequence[float], candidate: Sequence[float], bins: int, where: Sequence[int] = ()
) -> float:
    """Return the log e-value against "latencies are at most ``bins`` bins above the control's".

    At every threshold: is a candidate's request likelier to be slower than the threshold moved up by
    ``bins`` than a control's is to be slower than the threshold itself? Averaged like :func:`log_e_shift`,
    over all thresholds alike, or by the mass of earlier counts ``where`` one has them.
    """
    ctl, cand = _aligned(control, candidate)
    m, n = float(ctl.sum()), float(cand.sum())
    if m <= 0 or n <= 0 or ctl.size <= bins + 1:
        return 0.0
    above_ctl = m - np.cumsum(ctl)[: -1 - bins]
    above_cand = n - np.cumsum(cand)[bins:-1]
    evidence = _two_proportions(above_ctl, m, above_cand, n, frozen=False)
    evidence = np.where(above_cand / n > above_ctl / m, evidence, 0.0)
    weight = np.full(evidence.size, 1.0 / evidence.size)
    earlier = _aligned(where, [0] * evidence.size)[0][: evidence.size]
    if earlier.sum() > 0:
        weight = (weight + earlier / earlier.sum()) / 2
    return float(logsumexp(evidence, b=weight))


def rate_interval(count: int, rows: int, alpha: float) -> tuple[float, float]:
    """Return the confidence sequence of a rate: it always covers the true one with chance ``1 - alpha``.

    All rates against which the beta-binomial mixture has not won 1/alpha; [0, 1] without rows.
    """
    if rows <= 0:
        return 0.0, 1.0
    mixture, enough = _mixture(count, rows, 0.5, 0.5), -log(alpha)

    def refuted(rate: float) -> bool:
        return bool(mixture - _likelihood(count, rows, rate) >= enough)

    observed = count / rows
    return _edge(refuted, 0.0, observed), _edge(refuted, 1.0, observed)


def distance(reference: Sequence[int], current: Sequence[int]) -> float:
    """Return the Kolmogorov-Smirnov distance of two vectors of counts; 0 when one is empty."""
    ref, cur = _aligned(reference, current)
    m, n = ref.sum(), cur.sum()
    if m <= 0 or n <= 0:
        return 0.0
    return float(np.abs(np.cumsum(ref) / m - np.cumsum(cur) / n).max())


def radius(rows: int, alpha: float) -> float:
    """Return how far an empirical distribution may be from the true one, at all times at once.

    Howard & Ramdas 2022, "Sequential estimation of quantiles with applications to A/B testing and
    best-arm identification", Bernoulli 28, theorem 2: a Dvoretzky-Kiefer-Wolfowitz band under the law of
    the iterated logarithm. 1 without rows.
    """
    if rows <= 0:
        return 1.0
    return min(1.0, 0.85 * float(np.sqrt((np.log(np.log(np.e * rows)) + 0.8 * log(1612 / alpha)) / rows)))


def _two_proportions(a: Floats, m: float, b: Floats, n: float, *, frozen: bool) -> Floats:
    """Return the log e-value against "same probability" per pair of proportions a/m and b/n."""
    pooled = (a + b) / (m + n)
    first, second = (0.5, 0.5) if not frozen else _around((a + 0.5) / (m + 1.0))
    evidence: Floats = (
        _mixture(a, m, 0.5, 0.5)
        + _mixture(b, n, first, second)
        - _likelihood(a, m, pooled)
        - _likelihood(b, n, pooled)
    )
    return evidence


#: Weight in rows of the prior "about as in the reference": alternatives spread by about 0.15.
_PRIOR_ROWS = 10.0


def _around(share: Floats) -> tuple[Floats, Floats]:
    return _PRIOR_ROWS * share, _PRIOR_ROWS * (1.0 - share)


def _mixture(count: float | Floats, rows: float, a: float | Floats, b: float | Floats) -> Floats:
    """Return the log likelihood of ``count`` in ``rows``, averaged over Beta(a, b) probabilities."""
    mixed: Floats = np.asarray(betaln(a + count, b + (rows - count)) - betaln(a, b), dtype=np.float64)
    return mixed


def _likelihood(count: float | Floats, rows: float, probability: float | Floats) -> Floats:
    likely: Floats = np.asarray(
        xlogy(count, probability) + xlog1py(rows - count, -probability), dtype=np.float64
    )
    return likely


def _edge(refuted: Callable[[float], bool], outer: float, inner: float) -> float:
    """Return where refuted rates begin between ``inner`` (never refuted) and ``outer``, by bisection."""
    if not refuted(outer):
        return outer
    for _ in range(24):
        middle = (outer + inner) / 2
        outer, inner = (middle, inner) if refuted(middle) else (outer, middle)
    return outer


def _aligned(a: Sequence[float], b: Sequence[float]) -> tuple[Floats, Floats]:
    size = max(len(a), len(b))
    first, second = np.zeros(size), np.zeros(size)
    first[: len(a)], second[: len(b)] = a, b
    return first, second
