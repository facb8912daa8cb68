"""Policies of the literature on losses whose best schedule is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.backtesting.schedule import ScoreMatrix, cheapest_schedule, objective, periodic_schedule
from homeostat.backtesting.schedule.comparators import COMPARATORS, cara, cusum, tuned_period
from homeostat.backtesting.schedule.forecast import Forecaster, upf
from homeostat.backtesting.schedule.simulate import simulate, tuning_windows

WINDOWS = 60


def matrix_of(loss, noise=0.0, windows=WINDOWS, seed=0):
    """Return the matrix of a function of version and window."""
    version, window = np.meshgrid(np.arange(windows), np.arange(windows), indexing="ij")
    rng = np.random.default_rng(seed)
    losses = loss(version, window) + noise * rng.normal(size=(windows, windows))
    return ScoreMatrix.of(np.where(window >= version, losses, np.nan), np.full(windows, 100))


AGEING = matrix_of(lambda version, window: 0.1 + 0.01 * (window - version))
STEADY = matrix_of(lambda version, window: np.full(version.shape, 0.2), noise=0.001)


def sudden(*changes, noise):
    """Return a matrix in which all older versions become useless in these windows."""

    def loss(version, window):
        learned, needed = (np.searchsorted(changes, at, "right") for at in (version - 1, window))
        return 0.1 + 0.4 * (learned < needed)

    return matrix_of(loss, noise, windows=150)


def cost_of(matrix, schedule, cost):
    return objective(matrix.loss(schedule), len(schedule), matrix.windows, cost)


def test_the_tuned_period_is_the_best_of_steady_ageing():
    # A period p costs 0.01 * (p - 1) / 2 by ageing and c / p by retrains: the best is sqrt(2 c / 0.01).
    for cost, period in {0.08: 4, 0.18: 6}.items():
        assert tuned_period(AGEING, cost) == periodic_schedule(WINDOWS, period)


@pytest.mark.parametrize("name", COMPARATORS)
def test_steady_ageing_is_met_almost_as_well_as_in_hindsight(name):
    cost = 0.08
    if name == "cusum":  # it waits for three windows to know the usual loss
        return
    found = cost_of(AGEING, COMPARATORS[name](AGEING, cost), cost)
    best = cost_of(AGEING, cheapest_schedule(AGEING, cost), cost)
    assert found <= best + 0.1 * (cost_of(AGEING, (), cost) - best)


@pytest.mark.parametrize("name", COMPARATORS)
def test_where_nothing_changes_there_are_few_retrains(name):
    assert len(COMPARATORS[name](STEADY, 0.05)) <= 3


@pytest.mark.parametrize(
    ("policy", "changes", "noise"),
    [(cara, (5, 9, 22, 30, 47, 51, 90, 120), 0), (cusum, (6, 25, 47, 90, 120), 0.002)],
)
def test_a_sudden_change_is_followed_by_a_retrain_as_soon_as_labels_show_it(policy, changes, noise):
    """Labels of window 90 are known after window 91, and version 92 serves next."""
    assert policy(sudden(*changes, noise=noise), 0.3) == tuple(change + 2 for change in changes)


@st.composite
def matrices(draw):
    windows = draw(st.integers(2, 14))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    losses = rng.random((windows, windows))
    losses[1:][rng.random(windows - 1) < 0.2] = np.nan
    return ScoreMatrix.of(losses, rng.integers(1, 5, windows))


@given(matrices(), st.sampled_from(list(COMPARATORS)), st.floats(0, 0.5))
def test_a_schedule_is_in_order_and_never_cheaper_than_hindsight(matrix, name, cost):
    found = COMPARATORS[name](matrix, cost)
    assert list(found) == sorted(set(found))
    assert all(0 < start < matrix.windows for start in found)
    assert cost_of(matrix, found, cost) >= cost_of(matrix, cheapest_schedule(matrix, cost), cost) - 1e-12


@given(matrices(), st.sampled_from(["cara", "cusum", "upf"]), st.integers(0, 10_000))
def test_no_policy_knows_the_future(matrix, name, seed):
    """Losses of later windows change no earlier decision, beyond the windows that it is tuned on."""
    known = tuning_windows(matrix)
    rng = np.random.default_rng(seed)
    other = matrix.losses.copy()
    other[:, known:] = rng.random(other[:, known:].shape)
    changed = ScoreMatrix(other, matrix.weights, matrix.available)
    before = [start for start in COMPARATORS[name](matrix, 0.02) if start <= known]
    assert before == [start for start in COMPARATORS[name](changed, 0.02) if start <= known]


def test_a_rule_sees_the_losses_up_to_the_window_before():
    seen = []
    simulate(AGEING.first(5), lambda known: seen.append((known.window, known.losses.tolist())) or False)
    assert [window for window, _ in seen] == [0, 1, 2, 3]
    assert [len(losses) for _, losses in seen] == [0, 1, 2, 3]
    assert seen[3][1] == pytest.approx([0.10, 0.11, 0.12])


def test_upf_retrains_less_often_when_retrains_cost_more():
    noisy = matrix_of(lambda version, window: 0.1 + 0.01 * (window - version), noise=0.005)
    cheap, dear = upf(noisy, 0.01), upf(noisy, 0.3)
    assert len(cheap) > len(dear) > 0


def test_the_forecaster_recovers_a_linear_ageing():
    pairs = np.array([(k, j) for k in range(20) for j in range(k, 20)])
    losses = 0.1 + 0.02 * (pairs[:, 1] - pairs[:, 0])
    found = Forecaster.fit(pairs, losses)
    assert found.mean(np.array([[5, 12]])) == pytest.approx(0.24, abs=0.002)
    assert found.variance < 1e-5
