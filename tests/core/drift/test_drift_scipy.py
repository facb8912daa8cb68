"""The statistics against scipy's, computed from the rows and not from counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from homeostat.core.drift.bins import contingency_table, pooled_table
from homeostat.core.drift.chi_square import chi_square
from homeostat.core.drift.cramers_v import cramers_v
from homeostat.core.drift.jensen_shannon import jensen_shannon
from homeostat.core.drift.ks import ks
from homeostat.core.drift.wasserstein import MAX_SPREADS, wasserstein
from homeostat.core.profile import count_series, fit_edges

BATCH = 100


def batches(seed, *, complete):
    """Pairs of (BATCH, n) and (BATCH, m): ties, constants, atoms, infinities, windows out of range."""
    rng = np.random.default_rng(seed)
    for _ in range(100):
        n, m = rng.integers(1, 129 if complete else 600), rng.integers(1, 400)
        kind = rng.choice(["ties", "constant", "continuous", "atom", "infinite", "mixed"])
        x, y = rng.normal(size=(BATCH, n)), rng.normal(rng.uniform(-1, 1), rng.uniform(0.5, 2), (BATCH, m))
        if kind == "ties":
            x, y = np.round(x * 3), np.round(y * 3)
        elif kind == "constant":
            x, y = np.full((BATCH, n), 7.0), rng.choice([7.0, 7.0, 7.0, 6.0, 8.0], (BATCH, m))
        elif kind == "atom":
            x, y = np.where(rng.random(x.shape) < 0.4, 0.0, x), np.where(rng.random(y.shape) < 0.5, 0.0, y)
        elif kind == "infinite":
            x = np.where(rng.random(x.shape) < 0.3, np.inf * np.sign(x), x)
            y = np.where(rng.random(y.shape) < 0.3, np.inf * np.sign(y), y)
        elif kind == "mixed":
            far = np.array([1e300, -1e300, 5e-324, -0.0, np.finfo(float).max, np.inf, -np.inf])
            x = np.where(rng.random(x.shape) < 0.2, rng.choice(far, x.shape), np.round(x, 1))
            y = np.where(rng.random(y.shape) < 0.2, rng.choice(far, y.shape), np.round(y, 1))
        yield x, y


def numbers(reference, window, max_edges=128):
    edges = fit_edges(pd.DataFrame({"x": reference}), {"x": "number"}, max_edges=max_edges).features["x"]
    return [count_series(edges, pd.Series(rows)) for rows in (reference, window)]


@pytest.mark.exhaustive
def test_ks_is_scipys_on_ten_thousand_cases_where_the_edges_are_complete():
    cases = 0
    for x, y in batches(1, complete=True):
        theirs = stats.ks_2samp(x, y, method="asymp", axis=1)
        ours = [ks(*numbers(*pair)) for pair in zip(x, y, strict=True)]
        np.testing.assert_allclose([one.value for one in ours], theirs.statistic, rtol=0, atol=1e-12)
        np.testing.assert_allclose([one.p_value for one in ours], theirs.pvalue, rtol=0, atol=1e-12)
        assert {one.error for one in ours} == {0.0}
        cases += len(ours)
    assert cases == 10_000


@pytest.mark.exhaustive
def test_ks_is_within_its_stated_bound_where_the_edges_are_incomplete():
    rng = np.random.default_rng(2)
    stated = []
    for x, y in batches(3, complete=False):
        edges = int(rng.integers(2, 30))
        exact = stats.ks_2samp(x[:20], y[:20], method="asymp", axis=1).statistic
        for pair, true in zip(zip(x, y, strict=True), exact, strict=False):
            reference, window = numbers(*pair, max_edges=edges)
            ours = ks(reference, window)
            assert ours.value - 1e-12 <= true <= ours.value + ours.error + 1e-12
            widest = np.minimum(reference.slots / reference.binned, window.slots / window.binned)[::2].max()
            assert ours.error <= widest + 1e-12
            stated.append(ours.error)
    assert 0.2 < np.mean(np.array(stated) > 0) < 1  # both sorts of case were met


LABELS = st.lists(st.sampled_from("abcdefghij"), min_size=20, max_size=300)


def labels(reference, window):
    edges = fit_edges(pd.DataFrame({"c": reference}), {"c": "category"}).features["c"]
    return [count_series(edges, pd.Series(rows, dtype=object)) for rows in (reference, window)]


@settings(max_examples=100, deadline=None)
@given(reference=LABELS, window=LABELS)
def test_chi_square_is_scipys_on_the_pooled_table(reference, window):
    pair = labels(reference, window)
    ours = chi_square(*pair)
    if ours.value is None:
        assert "no values" in ours.reason or "too few rows" in ours.reason
        return
    kept = pooled_table(*pair).pooled
    theirs = stats.chi2_contingency(kept, correction=False)
    assert ours.value == pytest.approx(theirs.statistic, abs=1e-9)
    sparse = theirs.expected_freq.min() < 5
    other = stats.chi2_contingency(kept, correction=False, lambda_="cressie-read").pvalue if sparse else 0.0
    assert ours.p_value == pytest.approx(max(theirs.pvalue, other), abs=1e-12)


@pytest.mark.parametrize("n", [1_000, 20_000])
def test_frequent_categories_are_not_pooled_and_chi_square_is_scipys_on_the_cross_tabulation(n):
    rng = np.random.default_rng(n)
    reference, window = (
        rng.choice(list("abcde"), n),
        rng.choice(list("abcde"), n // 3, p=[0.3, 0.1, 0.2, 0.2, 0.2]),
    )
    theirs = stats.chi2_contingency(
        pd.crosstab(np.r_[np.zeros(n), np.ones(n // 3)], np.r_[reference, window]), correction=False
    )
    ours = chi_square(*labels(reference, window))
    assert ours.value == pytest.approx(theirs.statistic)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(reference=LABELS, window=LABELS)
def test_jensen_shannon_is_the_square_of_scipys_distance(reference, window):
    pair = labels(reference, window)
    ours = jensen_shannon(*pair)
    if ours.value is not None:
        theirs = jensenshannon(*contingency_table(*pair), base=2) ** 2
        assert ours.value == pytest.approx(np.nan_to_num(theirs), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    reference=st.lists(st.integers(-20, 20), min_size=20, max_size=300),
    window=st.lists(st.integers(0, 10**6), min_size=20, max_size=200),
)
def test_wasserstein_is_scipys_in_interquartile_ranges_where_the_edges_are_complete(reference, window):
    x = np.array(reference, dtype=float)
    y = x[np.array(window) % x.size]  # values that are edges
    q25, median, q75 = np.quantile(x, [0.25, 0.5, 0.75], method="inverted_cdf")
    iqr = q75 - q25
    if not iqr or np.abs(x - median).max() > MAX_SPREADS * iqr:
        return
    assert wasserstein(*numbers(x, y)).value == pytest.approx(
        stats.wasserstein_distance(x, y) / iqr, abs=1e-9
    )


def test_cramers_v_of_ten_thousand_rows_is_scipys():
    rng = np.random.default_rng(0)
    pair = labels(rng.choice(list("abcd"), 10_000), rng.choice(list("abcd"), 10_000, p=[0.4, 0.3, 0.2, 0.1]))
    theirs = stats.contingency.association(contingency_table(*pair).astype(int), method="cramer")
    assert cramers_v(*pair).value == pytest.approx(theirs, abs=1e-3)
