"""The suite that every drift test must pass; a new test only has to be listed in TESTS."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.drift import TESTS
from homeostat.core.profile import FeatureCounts, NumberEdges, count_series, fit_edges

CASES = [
    pytest.param(kind, test, id=f"{kind}-{name}") for kind in TESTS for name, test in TESTS[kind].items()
]
every_test = pytest.mark.parametrize(("kind", "test"), CASES)
# The one that measures in the reference's own spread, which swapping the samples changes.
IN_THE_REFERENCES_UNITS = {"wasserstein"}


def counts(kind, reference, *windows, max_edges=16, max_categories=5):
    """Count the reference and each window on the reference's edges."""
    edges = fit_edges(
        series(kind, reference).to_frame("v"), {"v": kind}, max_edges=max_edges, max_categories=max_categories
    )
    return [count_series(edges.features["v"], series(kind, rows)) for rows in (reference, *windows)]


def series(kind, rows):
    return pd.Series(rows, dtype=float if kind == "number" else object)


def draw(kind, rng, n, shift=0.0):
    if kind == "number":
        return rng.normal(shift, size=n)
    return rng.choice(
        list("abcd"), n, p=np.array([0.4, 0.3, 0.2, 0.1]) * (1 - shift) + np.array([0, 0, 0, shift])
    )


DEGENERATE = {
    "number": {
        "empty": [],
        "all-missing": [np.nan] * 30,
        "single-row": [3.0],
        "constant": [2.0] * 30,
        "boolean": [0.0, 1.0] * 15,
        "integer-coded": [float(i % 7) for i in range(30)],
        "infinite": [np.inf, -np.inf] * 15,
        "huge": [1e308, -1e308] * 15,
        "tiny": [5e-324, 0.0] * 15,
        "one-absurd": [*np.linspace(0, 1, 50), 1e300],
        "many-values": list(np.linspace(0, 1, 500)),
        "far-away": list(np.linspace(1e6, 1e6 + 1, 30)),
    },
    "category": {
        "empty": [],
        "all-missing": [None] * 30,
        "single-row": ["a"],
        "constant": ["b"] * 30,
        "boolean": [True, False] * 15,
        "integer-coded": [i % 7 for i in range(30)],
        "never-seen": ["zz"] * 30,
        "high-cardinality": [f"id-{i}" for i in range(3000)],
        "mixed-type": ["a", 1, 2.5, None, True, ("t",)] * 5,
        "long-text": ["x" * 10_000, "y" * 10_000] * 15,
    },
}


@every_test
def test_degenerate_inputs_get_a_number_or_a_reason(kind, test):
    for one, reference in DEGENERATE[kind].items():
        for other, rows in DEGENERATE[kind].items():
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                result = test(*counts(kind, reference, rows))
            assert (result.value is None) == bool(result.reason), (one, other, result)
            for number in (result.value, result.p_value, result.error):
                assert number is None or math.isfinite(number), (one, other, result)
            assert result.value is None or result.value >= 0, (one, other, result)
            assert result.p_value is None or 0 <= result.p_value <= 1, (one, other, result)


@every_test
def test_no_evidence_is_never_a_number(kind, test):
    for name in ("empty", "all-missing"):
        for pair in (("constant", name), (name, "constant"), (name, name)):
            result = test(*counts(kind, *(DEGENERATE[kind][key] for key in pair)))
            assert result.value is None, (pair, result)
            assert "no values" in result.reason


@every_test
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_two_counts_on_the_same_edges_get_a_finite_result(kind, test, data):
    edges = counts(kind, [1.0, 2.0, 3.0, 4.0] if kind == "number" else list("abcd"))[0].edges
    vector = st.lists(
        st.one_of(st.just(0), st.integers(0, 30), st.integers(0, 10**9)),
        min_size=edges.size,
        max_size=edges.size,
    )
    samples = [FeatureCounts(edges, np.array(data.draw(vector), np.int64)) for _ in range(2)]
    result = test(*samples)
    assert (result.value is None) == bool(result.reason)
    assert result.value is None or result.value >= 0


@every_test
def test_a_sample_does_not_differ_from_itself(kind, test):
    rows = draw(kind, np.random.default_rng(0), 500)
    result = test(*counts(kind, rows, rows))
    assert result.value == pytest.approx(0, abs=1e-12)
    assert result.p_value in (None, pytest.approx(1))


@every_test
def test_swapping_reference_and_window_changes_nothing(kind, test):
    rng = np.random.default_rng(1)
    first, second = counts(kind, draw(kind, rng, 800), draw(kind, rng, 300, shift=0.4))
    forth, back = test(first, second), test(second, first)
    if test.__name__ not in IN_THE_REFERENCES_UNITS:
        assert forth.value == pytest.approx(back.value, rel=1e-12)
    assert forth.p_value == (None if back.p_value is None else pytest.approx(back.p_value, rel=1e-9))


@every_test
def test_names_of_categories_and_the_direction_of_numbers_do_not_matter(kind, test):
    rng = np.random.default_rng(2)
    reference, window = draw(kind, rng, 700), draw(kind, rng, 400, shift=0.3)
    if kind == "number":
        one, other = counts(kind, reference, window)
        edges = one.edges
        mirror = NumberEdges(tuple(-edge for edge in reversed(edges.cut_points)), edges.complete)
        turned = [FeatureCounts(mirror, sample.slots[::-1].copy()) for sample in (one, other)]
    else:
        one, other = counts(kind, reference, window)
        names = dict(zip("abcd", "wmzk", strict=True))
        turned = counts(kind, [names[r] for r in reference], [names[r] for r in window])
    assert test(*turned).value == pytest.approx(test(one, other).value, rel=0.02)


@every_test
def test_drift_is_larger_than_chance(kind, test):
    rng = np.random.default_rng(3)
    reference, same, drifted = counts(
        kind, draw(kind, rng, 1000), draw(kind, rng, 500), draw(kind, rng, 500, shift=0.5)
    )
    by_chance, by_drift = test(reference, same), test(reference, drifted)
    assert by_drift.value > 3 * by_chance.value
    if by_drift.p_value is not None:
        assert by_drift.p_value < 1e-6
        assert by_chance.p_value > 0.01


@every_test
def test_one_absurd_value_weighs_one_row(kind, test):
    rng = np.random.default_rng(4)
    n = 1000
    # A row moves a share by 1/n; at most twenty spreads, or the logarithm of n, multiply it.
    # Chi-square grows with n, and so does what a row is worth in it.
    most = 2.0 if test.__name__ == "chi_square" else 20 / n
    reference, window = draw(kind, rng, n), draw(kind, rng, n)
    if kind == "number":
        absurd, outside = [1e300, np.inf], float(max(reference)) + 1e-9
    else:
        absurd, outside = ["☃" * 5000], "never seen"
    plain = test(*counts(kind, reference, window)).value
    just_outside = test(*counts(kind, reference, [outside, *window[1:]])).value
    for value in absurd:
        in_window = test(*counts(kind, reference, [value, *window[1:]])).value
        assert in_window == just_outside
        assert abs(in_window - plain) <= most
        in_reference = test(*counts(kind, [value, *reference[1:]], window)).value
        assert abs(in_reference - plain) <= most


@every_test
def test_missing_and_unseen_rows_do_not_change_a_statistic(kind, test):
    rng = np.random.default_rng(5)
    reference, window = counts(kind, draw(kind, rng, 400), draw(kind, rng, 300, shift=0.2))
    with_holes = FeatureCounts(window.edges, window.slots.copy(), missing=5000, unseen=700)
    assert test(reference, with_holes) == test(reference, window)
    assert test(with_holes, reference) == test(window, reference)
