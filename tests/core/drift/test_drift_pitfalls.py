"""Common mistakes of drift monitors, each with the right result computed from the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from homeostat.config.model import Monitor
from homeostat.core.drift import TESTS, compare_profiles
from homeostat.core.drift.feature import compute_stats, feature_verdict
from homeostat.core.profile import FeatureCounts, Reference, count_dataframe

MONITOR = Monitor()


def check(reference, window, kind):
    fitted = Reference.fit(pd.DataFrame({"v": reference}), {"v": kind})
    return compare_profiles(
        fitted.profile, count_dataframe(fitted.edges, pd.DataFrame({"v": window})), MONITOR
    ).features[0]


def textbook_psi(reference, window, edges):
    """Return PSI of plain shares in given bins, half a row added to each."""
    inner = edges[1:-1]
    shares = [
        (np.bincount(np.searchsorted(inner, rows, side="right"), minlength=len(edges) - 1) + 0.5)
        for rows in (reference, window)
    ]
    p, q = (side / side.sum() for side in shares)
    return float(((q - p) * np.log(q / p)).sum())


def test_one_outlier_does_not_hide_a_shift():
    rng = np.random.default_rng(0)
    reference, window = rng.normal(size=5000), rng.normal(1.0, size=2000)
    clean = check(reference, window, "number")
    right = textbook_psi(reference, window, np.quantile(reference, np.linspace(0, 1, 11)))
    assert clean.psi == pytest.approx(right, rel=0.1)
    reference[0], window[0] = 1e6, -1e6
    # Equal widths over the joint range put all other rows into one bin, and see nothing.
    naive = textbook_psi(reference, window, np.linspace(-1e6, 1e6, 10))
    assert naive < 0.01
    with_outlier = check(reference, window, "number")
    assert with_outlier.psi == pytest.approx(clean.psi, abs=0.02)
    assert with_outlier.verdict == "alert"


def test_a_small_reference_is_treated_as_a_sample():
    rng = np.random.default_rng(1)
    taken_as_exact, ours, right = [], [], []
    for _ in range(400):
        n, m = rng.multinomial(300, [0.4, 0.3, 0.2, 0.1]), rng.multinomial(600, [0.4, 0.3, 0.2, 0.1])
        taken_as_exact.append(stats.chisquare(m, n / 300 * 600).pvalue < 0.05)
        right.append(stats.chi2_contingency([n, m], correction=False).pvalue < 0.05)
        rows = [np.repeat(list("abcd"), side) for side in (n, m)]
        ours.append(check(*rows, "category").p_value < 0.05)
    assert np.mean(taken_as_exact) > 0.3  # goodness of fit raises a false alarm every third time
    assert ours == right
    assert np.mean(ours) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 400))


@pytest.mark.parametrize("kind", ["number", "category"])
def test_an_absent_p_value_is_not_compared_with_alpha(kind):
    full = np.arange(300) % 7
    for window in (np.full(300, np.nan), np.empty(0), full[:5]):
        verdict = check(full, window, kind)
        # NaN < alpha is False, and would be "no drift"; NaN >= alpha is False too, and would be drift.
        assert verdict.p_value is None
        assert verdict.drifted is None
        assert verdict.verdict in ("not_computable", "alert")
        assert verdict.verdict == "not_computable" or "missing rate" in verdict.reason
        assert verdict.reason


def test_rows_outside_the_reference_range_are_not_dropped():
    rng = np.random.default_rng(2)
    reference = rng.normal(size=4000)
    window = np.where(rng.random(1000) < 0.5, rng.normal(size=1000), rng.normal(50, size=1000))
    inside, _ = np.histogram(window, bins=np.quantile(reference, np.linspace(0, 1, 11)))
    assert inside.sum() < 550  # np.histogram drops half of the rows, and what is left has not moved
    assert stats.chi2_contingency([inside, np.full(10, 400)]).pvalue > 0.001
    verdict = check(reference, window, "number")
    assert verdict.ks == pytest.approx(stats.ks_2samp(reference, window).statistic, abs=0.01)
    assert verdict.ks > 0.4
    assert verdict.psi > 1
    assert verdict.js > 0.2
    assert verdict.verdict == "alert"


def test_psi_of_a_small_window_stays_below_the_usual_thresholds():
    rng = np.random.default_rng(3)
    reference = rng.normal(size=5000)
    plain, ours = [], []
    for _ in range(100):
        window = rng.normal(size=60)
        plain.append(textbook_psi(reference, window, np.quantile(reference, np.linspace(0, 1, 11))))
        ours.append(check(reference, window, "number").psi)
    assert np.mean(np.array(plain) > 0.1) > 0.6  # "moderate drift", by the book, in most windows
    assert np.mean(np.array(ours) > 0.1) < 0.15
    assert np.mean(plain) == pytest.approx(9 * (1 / 60 + 1 / 5000), rel=0.2)


def test_codes_of_categories_are_names_and_not_quantities():
    rng = np.random.default_rng(4)
    reference = rng.choice([1, 2, 9], 3000, p=[0.5, 0.0, 0.5])
    window = rng.choice([1, 2, 9], 1000, p=[0.4, 0.2, 0.4])
    as_category = check(reference, window, "category")
    new = np.mean(window == 2)
    assert as_category.unseen_share == pytest.approx(new)
    assert as_category.verdict == "alert"
    # Renaming the codes changes the order of quantities, and nothing about categories.
    renamed = {1: 100, 2: -5, 9: 3}
    again = check([renamed[i] for i in reference], [renamed[i] for i in window], "category")
    assert (again.chi2, again.cramers_v, again.unseen_share) == (
        as_category.chi2,
        as_category.cramers_v,
        as_category.unseen_share,
    )
    assert again.chi2 == pytest.approx(
        stats.chi2_contingency(
            [[(side == 1).sum(), (side == 9).sum()] for side in (reference, window)], correction=False
        ).statistic
    )


def test_a_code_read_as_a_number_here_and_as_text_there_is_no_drift():
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 5, 2000)
    verdict = check(codes[:1500], pd.Series(codes[1500:]).astype(str), "category")
    assert (verdict.verdict, verdict.unseen_share) == ("pass", 0.0)


def test_a_constant_column_passes():
    for kind in ("number", "category"):
        verdict = check(np.full(500, 3), np.full(300, 3), kind)
        assert (verdict.verdict, verdict.p_value, verdict.effect) == ("pass", 1.0, 0.0)
        assert check(np.full(500, 3), np.full(300, 4), kind).verdict == "alert"


def test_the_same_rows_are_no_drift_however_rare_their_labels():
    rng = np.random.default_rng(6)
    rows = rng.zipf(1.4, 400).astype(str)
    verdict = check(rows, rows, "category")
    assert verdict.verdict == "pass"
    assert verdict.p_value > 0.99


@pytest.mark.parametrize("kind", ["number", "category"])
def test_equal_shares_are_no_difference_whatever_the_sample_sizes(kind):
    edges = Reference.fit(pd.DataFrame({"v": [1, 2, 3, 4, 5]}), {"v": kind}).edges.features["v"]
    shape = np.array([0, 1, 0, 2, 0, 3, 0, 2, 0, 1, 0]) if kind == "number" else np.array([1, 2, 3, 2, 1, 0])
    pair = [FeatureCounts(edges, shape * size) for size in (50, 3000)]
    for name, test in TESTS[kind].items():
        assert test(*pair).value == pytest.approx(0, abs=1e-12), name
    stats = compute_stats("v", *pair, MONITOR)
    assert feature_verdict(stats, stats.p_value, MONITOR).verdict == "pass"
