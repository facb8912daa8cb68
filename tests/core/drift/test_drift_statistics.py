"""Each statistic against its definition, or against scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from homeostat.core.drift import benjamini_hochberg
from homeostat.core.drift.bins import pool_small_bins
from homeostat.core.drift.chi_square import chi_square
from homeostat.core.drift.cramers_v import cramers_v
from homeostat.core.drift.jensen_shannon import jensen_shannon
from homeostat.core.drift.ks import ks, p_value
from homeostat.core.drift.psi import psi
from homeostat.core.drift.wasserstein import wasserstein
from homeostat.core.profile import CategoryEdges, FeatureCounts, count_series, fit_edges

FEW = st.lists(st.integers(-6, 6).map(float), min_size=2, max_size=60)
MANY = st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 3)), min_size=2, max_size=80)


def numbers(reference, window, max_edges=128):
    edges = fit_edges(pd.DataFrame({"x": reference}), {"x": "number"}, max_edges=max_edges).features["x"]
    return [count_series(edges, pd.Series(rows, dtype=float)) for rows in (reference, window)]


def categories(reference, window):
    edges = CategoryEdges(tuple(f"k{i}" for i in range(len(reference))))
    return [FeatureCounts(edges, np.array([*bins, 0], np.int64)) for bins in (reference, window)]


@settings(max_examples=80, deadline=None)
@given(reference=st.one_of(FEW, MANY), window=st.one_of(FEW, MANY))
def test_ks_is_scipys_when_every_reference_value_is_an_edge(reference, window):
    ours, theirs = ks(*numbers(reference, window)), stats.ks_2samp(reference, window, method="asymp")
    assert ours.value == pytest.approx(theirs.statistic, abs=1e-12)
    assert ours.error == 0
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(reference=MANY, window=MANY, max_edges=st.integers(2, 12))
def test_ks_is_within_its_reported_bound_otherwise(reference, window, max_edges):
    one, other = numbers(reference, window, max_edges)
    ours, exact = ks(one, other), stats.ks_2samp(reference, window, method="asymp").statistic
    assert ours.value - 1e-12 <= exact <= ours.value + ours.error + 1e-12
    widest = max((one.slots / one.binned)[::2].max(), 0)
    assert ours.error <= widest + 1e-12


@pytest.mark.parametrize(("n", "m"), [(300, 200), (5000, 3000), (200_000, 30_000)])
def test_the_p_value_is_scipys(n, m):
    for scaled in (0.3, 0.8, 1.2, 1.6, 2.5):
        d = scaled / np.sqrt(n * m / (n + m))
        assert p_value(d, n, m) == pytest.approx(stats.kstwo.sf(d, round(n * m / (n + m))), abs=5e-6)


def test_chi_square_is_the_test_of_homogeneity():
    reference, window = [50, 60, 40], [30, 90, 20]
    ours = chi_square(*categories(reference, window))
    theirs = stats.chi2_contingency([reference, window], correction=False)
    assert ours.value == pytest.approx(theirs.statistic)
    assert ours.p_value == pytest.approx(theirs.pvalue)


@settings(max_examples=80, deadline=None)
@given(
    bins=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=30).filter(
        lambda rows: all(map(sum, zip(*rows, strict=True)))
    )
)
def test_small_bins_are_pooled_until_cochrans_rule_holds_and_no_row_is_lost(bins):
    table = np.array(bins, dtype=float).T
    table = table[:, table.any(axis=0)]
    kept = pool_small_bins(table)
    assert kept.sum(axis=1).tolist() == table.sum(axis=1).tolist()
    expected = np.outer(kept.sum(axis=1), kept.sum(axis=0)) / kept.sum()
    if kept.shape[1] > 1:
        assert (expected < 5).mean() <= 0.2
    everything = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    if (everything >= 5).all():
        assert kept.shape == table.shape


def test_chi_square_keeps_its_level_with_rare_categories_and_a_small_reference():
    rng = np.random.default_rng(0)
    shares = np.array([0.5, 0.3, 0.1, 0.05, 0.02, 0.01, 0.01, 0.005, 0.005])
    found = [
        chi_square(*categories(rng.multinomial(150, shares), rng.multinomial(250, shares)))
        for _ in range(400)
    ]
    assert np.mean([result.p_value < 0.05 for result in found]) < 0.08


def test_cramers_v_is_bergsmas_for_samples_of_one_size():
    reference, window = np.array([500, 300, 200]), np.array([400, 300, 300])
    n = 2000
    phi2 = stats.chi2_contingency([reference, window], correction=False).statistic / n
    k, r = 3, 2
    corrected = max(0, phi2 - (k - 1) * (r - 1) / (n - 1))
    of = [side - (side - 1) ** 2 / (n - 1) for side in (k, r)]
    expected = np.sqrt(corrected / (min(of) - 1))
    assert cramers_v(*categories(reference, window)).value == pytest.approx(expected)


def test_cramers_v_does_not_shrink_beside_a_large_reference():
    shifted = [200, 300]
    against = [cramers_v(*categories([4 * n, n], shifted)).value for n in (100, 1000, 40_000)]
    assert against == pytest.approx([against[0]] * 3, abs=0.03)
    assert min(against) > 0.3


def test_cramers_v_is_near_zero_without_drift_however_few_rows():
    rng = np.random.default_rng(0)
    shares = np.full(10, 0.1)
    found = [
        cramers_v(*categories(rng.multinomial(300, shares), rng.multinomial(100, shares))).value
        for _ in range(200)
    ]
    assert np.mean(found) < 0.06  # the uncorrected one is 0.17 here


def test_psi_is_near_zero_without_drift_however_few_rows():
    rng = np.random.default_rng(0)
    found = [psi(*numbers(rng.normal(size=500), rng.normal(size=100))).value for _ in range(100)]
    assert np.mean(found) < 0.04  # the uncorrected one is 0.11 here
    assert np.median(found) < 0.02


def test_psi_of_large_samples_is_the_textbooks():
    reference, window = [10_000, 20_000, 70_000], [20_000, 20_000, 60_000]
    p, q = np.array(reference) / 1e5, np.array(window) / 1e5
    assert psi(*categories(reference, window)).value == pytest.approx(
        ((q - p) * np.log(q / p)).sum(), abs=1e-3
    )


def test_psi_of_a_feature_that_left_its_range_is_large():
    rng = np.random.default_rng(0)
    x = rng.normal(size=5000)
    assert psi(*numbers(x, x[:300] + 100)).value > 5


def test_jensen_shannon_is_scipys_squared():
    reference, window = [10, 20, 70], [20, 20, 60]
    assert jensen_shannon(*categories(reference, window)).value == pytest.approx(
        jensenshannon(reference, window, base=2) ** 2
    )


def test_wasserstein_is_near_the_true_one_in_interquartile_ranges():
    rng = np.random.default_rng(0)
    x = rng.normal(size=20_000)
    iqr = np.subtract(*np.quantile(x, [0.75, 0.25]))
    for window in (x[:5000] + 0.5, x[:5000] * 1.5, x[:5000]):
        true = stats.wasserstein_distance(x, window) / iqr
        assert wasserstein(*numbers(x, window)).value == pytest.approx(true, abs=0.06)


@pytest.mark.parametrize(
    "reference", [[5.0] * 50, [0.0] * 45 + [1.0, 2.0, 3.0, 4.0, 5.0]], ids=["constant", "atom"]
)
def test_wasserstein_has_a_scale_where_the_interquartile_range_is_zero(reference):
    value = wasserstein(*numbers(reference, [7.0] * 50)).value
    assert 0.5 < value <= 20


@settings(max_examples=80, deadline=None)
@given(p_values=st.lists(st.floats(0, 1), max_size=30))
def test_the_correction_is_scipys(p_values):
    theirs = stats.false_discovery_control(p_values).tolist() if p_values else []
    assert benjamini_hochberg(p_values) == pytest.approx(theirs, abs=1e-12)


def test_the_correction_ignores_what_was_not_computable():
    assert benjamini_hochberg([None, 0.01, None, 0.04]) == [
        None,
        pytest.approx(0.02),
        None,
        pytest.approx(0.04),
    ]
    assert benjamini_hochberg([None]) == [None]
