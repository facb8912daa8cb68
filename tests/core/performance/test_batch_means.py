"""The variance of a row: its own for independent rows, more for correlated ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from homeostat.core.performance import row_variance

SEEDS = range(12)


def in_spells(rng, n, phi):
    """An AR(1) series of unit variance: each value is phi times the one before, plus noise."""
    noise = rng.normal(scale=np.sqrt(1 - phi**2), size=n)
    series = np.empty(n)
    last = rng.normal()
    for i, new in enumerate(noise):
        last = phi * last + new
        series[i] = last
    return series


@pytest.mark.parametrize(
    "rows", [lambda rng, n: rng.normal(size=n), lambda rng, n: rng.random(n) < 0.2], ids=["normal", "wrong"]
)
@pytest.mark.parametrize("n", [200, 5000])
def test_independent_rows_add_their_own_variance(rows, n):
    ratios = []
    for seed in SEEDS:
        values = rows(np.random.default_rng(seed), n)
        ratios.append(row_variance(values) / values.var())
    assert min(ratios) >= 1, "never less than the rows themselves scatter"
    assert np.median(ratios) < 1.6, "the largest of several estimates is a little too large"


@pytest.mark.parametrize("phi", [0.3, 0.6, 0.8])
def test_correlated_rows_add_more(phi):
    inflation = (1 + phi) / (1 - phi)
    found = [row_variance(in_spells(np.random.default_rng(seed), 8000, phi)) for seed in SEEDS]
    assert 0.8 * inflation < np.median(found) < 1.5 * inflation


def test_the_variance_of_the_mean_is_as_estimated():
    phi, n = 0.7, 2000
    series = [in_spells(np.random.default_rng(seed), n, phi) for seed in range(60)]
    promised = np.median([row_variance(one) for one in series]) / n
    happened = np.var([one.mean() for one in series])
    plain = np.median([one.var() for one in series]) / n
    assert plain < 0.5 * happened, "taking rows for independent promises far too much"
    assert 0.5 * happened < promised < 2 * happened


@pytest.mark.parametrize("values", [[], [1.0], [np.nan, 2.0, np.inf], [3.0] * 50])
def test_too_few_or_equal_rows_have_no_variance(values):
    assert row_variance(np.array(values)) == 0


@settings(max_examples=60, deadline=None)
@given(
    values=npst.arrays(np.float64, st.integers(2, 80), elements=st.floats(-1e6, 1e6)),
    holes=st.lists(st.tuples(st.integers(0, 80), st.sampled_from([np.nan, np.inf, -np.inf])), max_size=5),
)
def test_rows_that_are_not_finite_are_left_out(values, holes):
    spoilt = list(values)
    for at, value in holes:
        spoilt.insert(min(at, len(spoilt)), value)
    assert row_variance(np.array(spoilt)) == row_variance(values)


@settings(max_examples=60, deadline=None)
@given(
    values=npst.arrays(np.float64, st.integers(2, 200), elements=st.floats(-100, 100)),
    factor=st.floats(0.1, 10),
)
def test_it_is_a_variance(values, factor):
    assert row_variance(values) >= values.var()
    assert row_variance(factor * values) == pytest.approx(
        factor**2 * row_variance(values), rel=1e-6, abs=1e-9
    )
    assert row_variance(values[::-1].copy()) >= 0
