"""Sequential tests by betting: valid at every evaluation and at any stopping time.

Each ``log_e_*`` function returns the logarithm of an e-value: the wealth of a gambler who starts with 1 and
bets against "nothing is wrong" at fair odds. If nothing is wrong, the probability that the wealth *ever*
reaches 1/alpha is at most alpha (Ville's inequality), so a check may be evaluated after every request at no
cost.

The bets are mixtures over all alternatives (Robbins 1970, "Statistical methods related to the law of the
iterated logarithm"; Howard, Ramdas, McAuliffe & Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic
confidence sequences", Annals of Statistics 49). They need only totals, so evidence of any number of gateways
adds up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import log

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincc, betaln, expit, xlog1py, xlogy

from homeostat.core.rollout.evidence import LATENCY_EDGES_MS

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
    falls on the first side with the chance s of its share, whatever happened before: events are coin flips,
    also when events become more frequent on both sides at once. If the first side is r times as prone, the
    chance is r s / (r s + 1 - s); the bets are a mixture over :data:`_RATIOS`, and :data:`_KEPT` is not bet.
    Stages multiply, so their shares may differ.

    The first k events, all on the first side, are worth less than -k log(s), and no other valid test makes
    more of them: k such events happen by chance with probability s^k.

    Parameters
    ----------
    pairs
        Per stage: events and rows of the first side, events and rows of the second.
    """
    wealth = 0.0
    for events, rows, other_events, other_rows in pairs:
        if rows <= 0 or other_rows <= 0:
            continue
        share = rows / (rows + other_rows)
        bets = events * np.log(_RATIOS) - (events + other_events) * np.log1p(share * (_RATIOS - 1.0))
        wealth += _with_kept(bets, np.full(bets.size, 1.0 / bets.size))
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
    return log_mean(evidence, weight / weight.sum())


def log_e_slower(
    control: Sequence[float], candidate: Sequence[float], bins: int, where: Sequence[int] = ()
) -> float:
    """Return the log e-value against "latencies are at most ``bins`` bins above the control's".

    The gambler sees a latency, the candidate's moved down by ``bins``, and bets on whose it is. With s the
    candidate's share of all latencies, F and G the two distributions at that moment, and q(y) any rising
    function, the wealth changes by q / s for a candidate's and by (1 - q) / (1 - s) for a control's, on
    average by 1 + E_F[q] - E_G[q]: at most 1 unless the candidate is slower, however the load that both
    share may wander (Lheritier & Cazals 2018, "A sequential non-parametric multivariate two-sample test",
    IEEE Transactions on Information Theory 64). s is the observed share.

    The bets are a mixture over :data:`_CURVES`, centred at every bin alike and, if given, at the bins of
    earlier counts ``where`` by their mass; :data:`_KEPT` is not bet.

    Parameters
    ----------
    control, candidate
        Counts per latency bin; fractions where several requests count as one.
    bins
        Tolerated slowdown in bins.
    where
        Counts from before the comparison began.
    """
    ctl, cand = _on_latency_bins(control), _on_latency_bins(candidate)
    m, n = float(ctl.sum()), float(cand.sum())
    if m <= 0 or n <= 0:
        return 0.0
    if bins:
        cand = np.concatenate([[cand[: bins + 1].sum()], cand[bins + 1 :], np.zeros(bins)])
    share, seen = n / (m + n), ctl + cand > 0
    ratios = _log_ratios()[:, seen]
    bets = ratios @ cand[seen] - np.log1p(share * np.expm1(ratios)) @ (ctl + cand)[seen]
    centres = np.full(_LATENCY_BINS, 1.0 / _LATENCY_BINS)
    earlier = _on_latency_bins(where)
    if earlier.sum() > 0:
        nearby = np.convolve(earlier / earlier.sum(), np.full(7, 1.0 / 7.0), mode="same")
        centres = 0.25 * centres + 0.75 * nearby
    return _with_kept(bets, np.concatenate([curve.weight * centres for curve in _CURVES]))


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


#: How many times as prone to an event :func:`log_e_excess` takes the first side to be: 4 to a million.
_RATIOS: Floats = np.logspace(1, 10, 10, base=4.0, dtype=np.float64)
#: The part of the wealth that is not bet in a stage: a stage without a fault loses the rest at most.
_KEPT = 0.1


def log_mean(logs: Floats, weights: Floats) -> float:
    """Return the log of the weighted mean of ``exp(logs)``; the weights sum to 1.

    SciPy's logsumexp is many times slower for a few hundred numbers, and took most of a decision's time.
    """
    top = float(logs.max())
    return top + log(float(weights @ np.exp(logs - top))) if np.isfinite(top) else top


def _with_kept(bets: Floats, weights: Floats) -> float:
    """Return the log wealth of weighted bets, of which :data:`_KEPT` was not bet."""
    return float(np.logaddexp(log(_KEPT), log(1.0 - _KEPT) + log_mean(bets, weights)))


@dataclass(frozen=True, slots=True)
class _Curve:
    """How the log odds that a latency is the candidate's rise: from ``low`` to ``high`` around a centre.

    ``slope`` is per bin, before scaling to that range.
    """

    low: float
    high: float
    slope: float
    weight: float


#: A slowdown of all requests in wide and in narrow distributions, and one of a few requests only.
_CURVES = (_Curve(-2.0, 2.0, 0.2, 0.4), _Curve(-2.0, 2.0, 0.4, 0.4), _Curve(-0.1, 2.0, 2.0, 0.2))
_LATENCY_BINS = len(LATENCY_EDGES_MS) + 1


@cache
def _log_ratios() -> Floats:
    """Return the log odds per bet and latency bin, shape (curves * bins, bins)."""
    away = np.subtract.outer(np.arange(_LATENCY_BINS), np.arange(_LATENCY_BINS) + 0.5).T
    return np.concatenate([c.low + (c.high - c.low) * expit(c.slope * away) for c in _CURVES])


def _on_latency_bins(counts: Sequence[float]) -> Floats:
    return _aligned(counts, np.zeros(_LATENCY_BINS).tolist())[0][:_LATENCY_BINS]


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
