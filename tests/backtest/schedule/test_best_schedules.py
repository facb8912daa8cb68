"""Schedules in hindsight, against every schedule that there is."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from homeostat.backtesting.schedule import (
    Difference,
    Limit,
    ScoreMatrix,
    best_schedule,
    cheapest_schedule,
    even_schedule,
    objective,
    periodic_schedule,
)


@st.composite
def matrices(draw, most=7):
    """Return a matrix with windows of different sizes and versions that could not be trained."""
    windows = draw(st.integers(2, most))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    losses = rng.random((windows, windows)).round(2)
    rows = rng.integers(0, 4, windows)
    rows[0] = max(rows[0], 1)
    losses[rng.random(windows) < 0.2] = np.nan
    losses[0] = rng.random(windows)
    losses[:, rows == 0] = np.nan
    return ScoreMatrix.of(losses, rows)


def every_schedule(windows, most):
    for count in range(min(most, windows - 1) + 1):
        yield from combinations(range(1, windows), count)


@given(matrices(), st.integers(0, 7))
def test_dynamic_programming_finds_what_trying_every_schedule_finds(matrix, retrains):
    found = best_schedule(matrix, retrains)
    assert len(found) <= retrains
    least = min(matrix.loss(schedule) for schedule in every_schedule(matrix.windows, retrains))
    assert matrix.loss(found) == pytest.approx(least, abs=1e-12)


@given(matrices(), st.floats(0, 0.5))
def test_the_cheapest_schedule_is_the_cheapest_of_all(matrix, cost):
    def total(schedule):
        return objective(matrix.loss(schedule), len(schedule), matrix.windows, cost)

    least = min(total(schedule) for schedule in every_schedule(matrix.windows, matrix.windows))
    assert total(cheapest_schedule(matrix, cost)) == pytest.approx(least, abs=1e-12)


@given(matrices(most=20), st.integers(0, 20), st.randoms(use_true_random=False))
def test_hindsight_is_never_worse_than_another_schedule_with_as_many_retrains(matrix, retrains, random):
    retrains = min(retrains, matrix.windows - 1)
    other = tuple(sorted(random.sample(range(1, matrix.windows), retrains)))
    best = matrix.loss(best_schedule(matrix, retrains))
    assert best <= matrix.loss(other) + 1e-12
    assert best <= matrix.loss(even_schedule(matrix.windows, retrains)) + 1e-12


@given(matrices(most=20), st.integers(0, 20), st.floats(0, 0.1))
def test_skill_is_0_for_the_even_schedule_and_1_for_the_best(matrix, retrains, cost):
    limit = Limit.of(matrix, 0.5, retrains, cost)
    assume(limit.skill is not None)
    assert Limit.of(matrix, limit.even_loss, retrains, cost).skill == 0
    assert Limit.of(matrix, limit.hindsight_loss, retrains, cost).skill == 1
    assert Limit.of(matrix, limit.cheapest_loss, len(limit.cheapest), cost).regret == pytest.approx(0)
    assert Limit.of(matrix, matrix.loss(limit.even), len(limit.even), cost).regret >= -1e-12


@given(matrices(most=20))
def test_without_retrains_there_is_no_skill(matrix):
    limit = Limit.of(matrix, matrix.loss(()), 0, 0.005)
    assert limit.even == limit.hindsight == ()
    assert limit.skill is None


@given(st.integers(1, 60), st.integers(0, 70))
def test_even_schedules_spread_the_windows_evenly(windows, retrains):
    schedule = even_schedule(windows, retrains)
    assert len(schedule) == min(retrains, windows - 1)
    lengths = np.diff([0, *schedule, windows])
    assert lengths.min() >= 1
    assert lengths.max() - lengths.min() <= 1


def test_a_periodic_schedule_starts_after_its_first_period():
    assert periodic_schedule(10, 4) == (4, 8)
    assert periodic_schedule(8, 4) == (4,)
    assert periodic_schedule(3, 1) == (1, 2)


def test_a_version_that_cannot_be_trained_leaves_the_one_before_in_service():
    losses = np.array([[0.1, 0.2, 0.3], [np.nan] * 3, [np.nan, np.nan, 0.0]])
    matrix = ScoreMatrix.of(losses, np.array([1, 1, 2]))
    assert matrix.serving((1, 2)).tolist() == [0, 0, 2]
    assert matrix.loss((1,)) == pytest.approx((0.1 + 0.2 + 2 * 0.3) / 4)
    assert matrix.loss((1, 2)) == pytest.approx((0.1 + 0.2) / 4)


def test_a_window_that_some_version_has_no_loss_in_counts_for_none():
    losses = np.array([[0.1, 0.5, 0.3], [np.nan, np.nan, 0.2], [np.nan, np.nan, 0.0]])
    matrix = ScoreMatrix.of(losses, np.array([1, 7, 1]))
    assert matrix.weights.tolist() == [0.5, 0, 0.5]
    assert matrix.loss((1,)) == pytest.approx(0.15)


# How sure a difference is


def test_the_difference_is_the_weighted_mean_less_the_fee():
    other, own = np.array([0.3, 0.2, 0.4]), np.array([0.1, 0.2, 0.1])
    weights = np.array([0.5, 0.5, 0.0])
    found = Difference.of(other, own, weights, fee=0.01)
    assert found.mean == pytest.approx(0.1 - 0.01)
    assert found.error == pytest.approx(0.1 / np.sqrt(2))


def test_runs_of_good_and_bad_windows_make_the_difference_less_sure():
    rng = np.random.default_rng(0)
    gains = np.repeat(rng.normal(size=12), 10)
    weights = np.full(120, 1 / 120)
    blocks = Difference.of(gains, np.zeros(120), weights)
    mixed = Difference.of(rng.permutation(gains), np.zeros(120), weights)
    assert blocks.mean == pytest.approx(mixed.mean)
    assert blocks.error > 1.8 * mixed.error


def test_one_window_has_no_standard_error():
    found = Difference.of(np.array([0.3]), np.array([0.1]), np.array([1.0]))
    assert found.error is None
    assert found.at_least(2) == -np.inf
    assert found.at_most(2) == np.inf
