"""One absurd row moves a statistic by the weight of one row, whatever its value.

What a row is worth, of n rows on its side: 1/n of the KS distance; 20/n of the Wasserstein distance
(everything lies within ten spreads of the median); ln(n)/n times a few of PSI and Jensen-Shannon, whose
terms are shares times logarithms (of PSI as long as no bin is empty); of chi-square, which grows with
the rows, a few units; and of Cramer's V what its square owes to 1/n. A row in the reference moves its
edges by one rank besides.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.drift import TESTS
from homeostat.core.profile import count_series, fit_edges

ABSURD = (1e300, -1e300, np.inf, -np.inf, float(np.finfo(float).max), 5e-324)
SHAPES = {
    "normal": lambda rng, n: rng.normal(size=n),
    "long-tailed": lambda rng, n: rng.standard_t(2, n),
    "atom": lambda rng, n: np.where(rng.random(n) < 0.3, 0.0, 1 + rng.exponential(size=n)),
    "integers": lambda rng, n: rng.poisson(8, n).astype(float),
    "few": lambda rng, n: rng.integers(0, 4, n).astype(float),
}
NUMBERS = {
    "ks": lambda n: 1 / n,
    "wasserstein": lambda n: 20 / n,
    "psi": lambda n: 5 * (1 + np.log(n)) / n,
    "js": lambda n: 2 * (1 + np.log(n)) / n,
}


def numbers(reference, *windows):
    edges = fit_edges(pd.DataFrame({"x": reference}), {"x": "number"}).features["x"]
    return [count_series(edges, pd.Series(rows)) for rows in (reference, *windows)]


def unit_change(reference, corrupt):
    """Return by what share the interquartile range, the unit of the Wasserstein distance, differs."""
    quartiles = [np.quantile(rows, [0.25, 0.75], method="inverted_cdf") for rows in (reference, corrupt)]
    small, large = sorted(high - low for low, high in quartiles)
    return large / small - 1 if small > 0 else math.inf


@pytest.mark.parametrize("name", sorted(NUMBERS))
@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    seed=st.integers(0, 10**6),
    n=st.sampled_from([200, 1000, 5000]),
    m=st.sampled_from([200, 700, 3000]),
    drift=st.sampled_from([0.0, 0.0, 0.3]),
    at=st.integers(0, 199),
    absurd=st.sampled_from(ABSURD),
)
def test_an_absurd_number_moves_no_statistic_by_more_than_a_row(
    name, *, shape, seed, n, m, drift, at, absurd
):
    rng = np.random.default_rng(seed)
    reference, window = SHAPES[shape](rng, n), SHAPES[shape](rng, m)
    if shape in ("atom", "few"):  # none vanishes altogether: see the test below
        window = np.where(rng.random(m) < drift, 0.0, window)
    else:
        window += np.round(drift * 3) if shape == "integers" else drift
    with_outlier, corrupt = window.copy(), reference.copy()
    with_outlier[at] = corrupt[at] = absurd
    test = TESTS["number"][name]
    counts, now, then = numbers(reference, window, with_outlier)
    plain = test(counts, now)
    assert abs(test(counts, then).value - plain.value) <= NUMBERS[name](m) + 1e-12
    unit = unit_change(reference, corrupt) if name == "wasserstein" else 0.0
    if unit > 0.05:
        return  # a quartile among repeated values is one value or the next, and it is the unit
    # The same window against a reference that was fitted with the absurd row in it.
    fitted = test(*numbers(corrupt, window))
    moved = 2 * NUMBERS[name](min(n, m)) + plain.error + fitted.error + plain.value * unit
    assert abs(fitted.value - plain.value) <= moved + 1e-12


def test_the_first_row_in_an_empty_bin_of_psi_weighs_the_share_of_the_bin_times_ln_3():
    n = 1000
    reference = np.r_[np.zeros(n // 2), np.ones(n // 2)]
    gone = np.ones(n)
    with_outlier = np.r_[0.0, gone[1:]]
    before, now = (TESTS["number"]["psi"](*numbers(reference, rows)).value for rows in (gone, with_outlier))
    assert before - now == pytest.approx(0.5 * np.log(3), abs=0.01)


CATEGORIES = {
    "chi2": lambda n, plain: 4 * (1 + np.sqrt(plain)),
    "cramers_v": lambda n, plain: np.sqrt(plain**2 + 8 / n) - plain,
    "psi": lambda n, plain: 5 * (1 + np.log(n)) / n,
    "js": lambda n, plain: 2 * (1 + np.log(n)) / n,
}


@pytest.mark.parametrize("name", sorted(CATEGORIES))
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.sampled_from([200, 1000, 5000]),
    m=st.sampled_from([200, 700, 3000]),
    drift=st.sampled_from([0.0, 0.0, 0.1]),
    at=st.integers(0, 199),
    absurd=st.sampled_from(["\x00" * 3, "☃" * 5000, "never seen", 1e300, np.inf, ("a", 1)]),
)
def test_an_absurd_label_moves_no_statistic_by_more_than_a_row(name, *, seed, n, m, drift, at, absurd):
    rng = np.random.default_rng(seed)
    shares = np.array([0.4, 0.3, 0.2, 0.1])
    reference = rng.choice(list("abcd"), n, p=shares).astype(object)
    window = rng.choice(list("abcd"), m, p=shares + drift * np.array([-1, 0, 0, 1])).astype(object)
    with_outlier, corrupt = window.copy(), reference.copy()
    with_outlier[at], corrupt[at] = absurd, absurd
    test = TESTS["category"][name]

    def value(*rows):
        edges = fit_edges(pd.DataFrame({"c": pd.Series(list(rows[0]), dtype=object)}), {"c": "category"})
        counts = [count_series(edges.features["c"], pd.Series(list(r), dtype=object)) for r in rows]
        return test(*counts).value

    plain = value(reference, window)
    assert abs(value(reference, with_outlier) - plain) <= CATEGORIES[name](m, plain)
    assert abs(value(corrupt, window) - plain) <= CATEGORIES[name](min(n, m), plain)
