"""A verdict is an alert only with both significance and effect."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr, ndtri

from homeostat.config.model import Monitor
from homeostat.core.drift import compare_profiles
from homeostat.core.drift.chi_square import chi_square
from homeostat.core.drift.feature import compute_stats, feature_verdict
from homeostat.core.drift.psi import _subtract_chance, psi
from homeostat.core.profile import (
    CategoryEdges,
    FeatureCounts,
    NumberEdges,
    Profile,
    ProfileEdges,
    Reference,
    count_dataframe,
)
from homeostat.core.profile.fit_edges import fit_label_edges

MONITOR = Monitor()


def normal_counts(rng, rows, shift):
    """Return multinomial counts of a normal distribution on 128 quantiles, for any number of rows."""
    edges = ndtri((np.arange(128) + 0.5) / 128)
    chances = np.zeros(257)
    chances[::2] = np.diff(ndtr(edges - shift), prepend=0.0, append=1.0)
    return FeatureCounts(NumberEdges(tuple(edges.tolist()), complete=False), rng.multinomial(rows, chances))


def profile(counts):
    edges = ProfileEdges({"x": counts.edges})
    return Profile(edges, counts.rows, {"x": counts})


@pytest.mark.parametrize("seed", range(5))
def test_a_significant_shift_of_a_hundredth_of_a_deviation_is_no_alert(seed):
    rng = np.random.default_rng(seed)
    report = compare_profiles(
        profile(normal_counts(rng, 10**7, 0.0)), profile(normal_counts(rng, 10**7, 0.01)), MONITOR
    )
    verdict = report.features[0]
    assert verdict.p_adjusted < 1e-50  # highly significant,
    assert verdict.ks == pytest.approx(0.004, abs=0.001)  # but too small to matter
    assert (verdict.verdict, report.verdict) == ("pass", "pass")


def test_a_significant_shift_of_a_category_by_a_thousandth_is_no_alert():
    edges = CategoryEdges(("a", "b"))
    pair = [FeatureCounts(edges, np.array([share, 10**7 - share, 0])) for share in (5_000_000, 5_010_000)]
    verdict = feature_verdict(stats := compute_stats("c", *pair, MONITOR), stats.p_value, MONITOR)
    assert verdict.p_value < 1e-4
    assert verdict.verdict == "pass"


def test_half_a_deviation_in_three_hundred_rows_is_nearly_always_an_alert():
    rng = np.random.default_rng(0)
    kinds = {f"x{i}": "number" for i in range(10)}
    found = []
    for _ in range(200):
        reference = Reference.fit(pd.DataFrame(rng.normal(size=(2000, 10)), columns=list(kinds)), kinds)
        rows = rng.normal(size=(300, 10))
        rows[:, 0] += 0.5
        report = compare_profiles(
            reference.profile,
            count_dataframe(reference.edges, pd.DataFrame(rows, columns=list(kinds))),
            MONITOR,
        )
        found.append(report.features[0].verdict == "alert")
    assert np.mean(found) >= 0.99


def test_a_category_that_moved_by_a_fifth_in_three_hundred_rows_is_nearly_always_an_alert():
    rng = np.random.default_rng(0)
    edges = CategoryEdges(tuple("abc"))
    found = []
    for _ in range(200):
        pair = [
            FeatureCounts(edges, rng.multinomial(n, p))
            for n, p in ((2000, [0.5, 0.3, 0.2, 0]), (300, [0.3, 0.3, 0.4, 0]))
        ]
        found.append(
            feature_verdict(stats := compute_stats("c", *pair, MONITOR), stats.p_value, MONITOR).verdict
            == "alert"
        )
    assert np.mean(found) >= 0.99


SHAPES = {
    "normal": lambda rng, n: rng.normal(size=n),
    "atom": lambda rng, n: np.where(rng.random(n) < 0.45, 0.0, rng.exponential(size=n)),
    "integers": lambda rng, n: rng.poisson(6, n).astype(float),
    "binary": lambda rng, n: (rng.random(n) < 0.3).astype(float),
}


@pytest.mark.parametrize(("n", "m"), [(500, 100), (2000, 300), (300, 300), (20_000, 5000)])
@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_what_psi_subtracts_is_its_expectation_without_drift(shape, n, m, monkeypatch):
    rng = np.random.default_rng(0)
    plain, taken_off = [], []

    def spy(bins, added, free):
        with_chance = _subtract_chance(bins, added, 1.0).value
        plain.append(with_chance)
        taken_off.append((free - 1) * (1 / n + 1 / m))
        return _subtract_chance(bins, added, free)

    monkeypatch.setattr("homeostat.core.drift.psi._subtract_chance", spy)
    for _ in range(200):
        reference = Reference.fit(pd.DataFrame({"x": SHAPES[shape](rng, n)}), {"x": "number"})
        window = count_dataframe(reference.edges, pd.DataFrame({"x": SHAPES[shape](rng, m)}))
        psi(reference.profile.features["x"], window.features["x"])
    error = np.std(plain) / np.sqrt(len(plain))
    assert np.mean(plain) == pytest.approx(np.mean(taken_off), rel=0.15, abs=3 * error)


ZIPF = 1 / np.arange(1, 301)
UNKNOWN = {
    "many": ZIPF / ZIPF.sum(),  # more labels than slots, and a new one in every tenth row
    "rare": 0.6 ** np.arange(30) * 0.4 / (1 - 0.6**30),
    "equal": np.full(120, 1 / 120),
}


@pytest.mark.parametrize("m", [300, 100_000])
@pytest.mark.parametrize("shape", sorted(UNKNOWN))
def test_rare_and_new_categories_raise_no_false_alarms(shape, m):
    rng = np.random.default_rng(1)
    shares, names = UNKNOWN[shape], [f"k{i}" for i in range(300)]
    alarms = []
    for _ in range(400):
        drawn = rng.multinomial(2000, shares)
        seen = np.flatnonzero(drawn)
        edges = fit_label_edges(drawn[seen], [names[i] for i in seen], 100)
        pair = []
        for rows in (drawn, rng.multinomial(m, shares)):
            slots, unseen = np.zeros(edges.size, dtype=np.int64), 0
            for at in np.flatnonzero(rows):
                if names[at] in edges.labels:
                    slots[edges.labels.index(names[at])] += rows[at]
                elif edges.open or drawn[at]:
                    slots[-1] += rows[at]
                else:
                    unseen += int(rows[at])
            pair.append(FeatureCounts(edges, slots, 0, unseen))
        alarms.append(chi_square(*pair).p_value < 0.05)
    assert np.mean(alarms) < 0.06 + 2 * np.sqrt(0.05 * 0.95 / 400)


def identifiers(seed, n):
    return pd.DataFrame(
        {"id": [f"{seed}-{i}" for i in range(n)], "x": np.random.default_rng(seed).normal(size=n)}
    )


def test_identifiers_are_not_computable_and_do_not_block_the_report():
    reference = Reference.fit(identifiers(0, 2000), {"id": "category", "x": "number"})
    report = compare_profiles(
        reference.profile, count_dataframe(reference.edges, identifiers(1, 600)), MONITOR
    )
    verdict = report.features[0]
    assert (verdict.verdict, verdict.drifted) == ("not_computable", None)
    assert "too many categories" in verdict.reason
    assert (report.verdict, report.drifted_share) == ("pass", 0.0)


def test_expected_new_labels_are_no_alert_and_unexpected_ones_are():
    rng = np.random.default_rng(0)
    shares = np.arange(1, 96) / np.arange(1, 96).sum()

    def rows(n):
        return pd.DataFrame({"c": rng.choice([f"k{i}" for i in range(95)], n, p=shares)})

    reference = Reference.fit(rows(250), {"c": "category"})
    window = rows(600)
    now = count_dataframe(reference.edges, window)
    monitor = Monitor(max_unseen=0.02)
    assert not reference.edges.features["c"].open
    assert now.features["c"].unseen_share > monitor.max_unseen
    assert "never seen" not in compare_profiles(reference.profile, now, monitor).features[0].reason
    new = count_dataframe(
        reference.edges, window.assign(c=window["c"].mask(rng.random(600) < 0.4, "stranger"))
    )
    assert "never seen" in compare_profiles(reference.profile, new, monitor).features[0].reason


def test_a_missing_rate_explained_by_chance_is_no_alert():
    rng = np.random.default_rng(0)

    def rows(n, missing):
        return pd.DataFrame({"x": np.where(rng.random(n) < missing, np.nan, rng.normal(size=n))})

    reference = Reference.fit(rows(5000, 0.5), {"x": "number"})
    findings = [
        compare_profiles(
            reference.profile, count_dataframe(reference.edges, rows(200, 0.5)), Monitor(max_missing=0.05)
        ).schema
        for _ in range(200)
    ]
    assert sum(map(bool, findings)) <= 3  # 5 points more would be there in 16 of them
    more = compare_profiles(reference.profile, count_dataframe(reference.edges, rows(200, 0.7)), MONITOR)
    assert [finding.kind for finding in more.schema] == ["missing_rate"]


@pytest.mark.parametrize("m", [300, 3000])
def test_rare_categories_do_not_raise_alarms_among_hundreds_of_features(m):
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, 61) / (1 / np.arange(1, 61)).sum()
    edges = CategoryEdges(tuple(f"k{i:02d}" for i in range(60)))
    reference = FeatureCounts(edges, np.append(np.round(shares * 200_000), 0).astype(np.int64))
    windows = np.column_stack([rng.multinomial(m, shares, size=10_000), np.zeros(10_000, dtype=np.int64)])
    p = np.array([chi_square(reference, FeatureCounts(edges, window)).p_value for window in windows])
    assert (p < 0.001).sum() <= 18  # 10 expected
    assert (p < 0.0002).sum() <= 7  # 2 expected
