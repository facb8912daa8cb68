"""The sequential tests: rare false alarms when nothing is wrong, and detection when something is."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.rollout.health.sequential import (
    distance,
    log_e_above_limit,
    log_e_excess,
    log_e_shift,
    log_e_slower,
    radius,
    rate_interval,
)

ALPHA = 0.1
RUNS, EVALUATIONS = 300, 30
COUNTS = st.lists(st.integers(0, 10_000), max_size=30)


def ever(wealth) -> float:
    """The share of runs in which the wealth ever reaches 1/ALPHA, over many evaluations."""
    hits = 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        hits += any(value >= -log(ALPHA) for value in wealth(rng))
    return hits / RUNS


def test_a_steady_rate_is_rarely_called_above_the_limit():
    def run(rng):
        events = np.cumsum(rng.binomial(10, 0.05, EVALUATIONS))
        return [log_e_above_limit(int(k), 10 * (i + 1), 0.05) for i, k in enumerate(events)]

    assert ever(run) <= ALPHA


def test_equal_error_rates_are_rarely_called_an_increase():
    def run(rng):
        own, other = (
            np.cumsum(rng.binomial(20, 0.05, EVALUATIONS)),
            np.cumsum(rng.binomial(60, 0.05, EVALUATIONS)),
        )
        return [
            log_e_excess([(int(a), 20 * i, int(b), 60 * i)])
            for i, (a, b) in enumerate(zip(own, other, strict=True), 1)
        ]

    assert ever(run) <= ALPHA


@pytest.mark.parametrize("frozen", [True, False])
def test_equal_distributions_are_rarely_called_shifted(frozen):
    def run(rng):
        shape = rng.dirichlet(np.ones(8))
        reference, current, found = rng.multinomial(300, shape), np.zeros(8, dtype=int), []
        for _ in range(EVALUATIONS):
            current += rng.multinomial(15, shape)
            if not frozen:
                reference = reference + rng.multinomial(15, shape)
            found.append(log_e_shift(reference.tolist(), current.tolist(), frozen=frozen))
        return found

    assert ever(run) <= ALPHA


def test_latencies_up_to_the_tolerance_are_rarely_called_slower():
    def run(rng):
        own, other, found = np.zeros(12, dtype=int), np.zeros(12, dtype=int), []
        shape = np.r_[rng.dirichlet(np.ones(10)), 0, 0]
        for _ in range(EVALUATIONS):
            own += rng.multinomial(15, np.roll(shape, 1))
            other += rng.multinomial(15, shape)
            found.append(log_e_slower(other.tolist(), own.tolist(), 1))
        return found

    assert ever(run) <= ALPHA


def test_the_confidence_sequence_of_a_rate_covers_it_at_every_evaluation():
    misses = 0
    for seed in range(100):
        events = np.cumsum(np.random.default_rng(seed).binomial(10, 0.1, EVALUATIONS))
        bounds = [rate_interval(int(k), 10 * (i + 1), ALPHA) for i, k in enumerate(events)]
        misses += any(not low <= 0.1 <= high for low, high in bounds)
    assert misses / 100 <= ALPHA


def test_a_real_difference_is_detected():
    assert log_e_above_limit(30, 300, 0.01) > 10
    assert log_e_excess([(10, 200, 0, 1800)]) > 10
    assert log_e_shift([500, 500], [350, 150], frozen=True) > 10
    assert log_e_slower([0, 400, 0, 0, 0], [0, 0, 0, 400, 0], 1) > 10


@settings(max_examples=60)
@given(COUNTS, COUNTS)
def test_any_counts_give_a_finite_result(a, b):
    for value in (
        log_e_shift(a, b, frozen=True),
        log_e_shift(a, b, frozen=False),
        log_e_slower(a, b, 1),
        log_e_slower(a, b, 1, where=b),
        distance(a, b),
        log_e_above_limit(sum(a), sum(a) + sum(b), 0.01),
        log_e_excess([(sum(a), 2 * sum(a) + 5, sum(b), 3 * sum(b) + 5)]),
    ):
        assert np.isfinite(value)
    assert 0 <= distance(a, b) <= 1


@settings(max_examples=60)
@given(COUNTS)
def test_the_distance_of_a_distribution_to_itself_is_zero(counts):
    assert distance(counts, counts) == 0
    assert log_e_shift(counts, counts, frozen=False) <= 1e-9
    assert log_e_slower(counts, counts, 1) <= 1e-9


@settings(max_examples=60)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_an_interval_contains_the_observed_rate_and_narrows_with_alpha(count, more):
    rows = count + more
    low, high = rate_interval(count, rows, 0.01)
    wide = rate_interval(count, rows, 0.0001)
    assert wide[0] <= low <= high <= wide[1]
    if rows:
        assert low <= count / rows <= high
    else:
        assert (low, high) == (0, 1)


def test_bands_narrow_with_rows():
    assert radius(0, 0.01) == 1
    assert radius(100, 0.01) > radius(10_000, 0.01)
