"""Slices without a change alarm no more often than stated, and slices with one are found in time."""

import numpy as np
import pytest
from scipy import stats

from core.slices.slice_streams import LOSSES, seasonal_windows, stream, windows
from homeostat.core.slices import SIGNIFICANCE, LossSums, SliceBaseline
from homeostat.core.slices.decay import decay_p_value


@pytest.mark.parametrize("losses", LOSSES)
def test_checks_without_a_change_alarm_no_more_often_than_stated(losses):
    alarms = [alarm for seed in range(6) for alarm in stream(losses, seed, every=6)[0]]
    most = stats.binom.isf(0.001, len(alarms), SIGNIFICANCE)
    assert sum(alarms) <= most


@pytest.mark.parametrize(("held", "rows"), [(30, 30), (40, 150), (150, 60)])
@pytest.mark.parametrize("rate", [0.02, 0.05, 0.2, 0.5])
def test_the_test_of_rare_errors_keeps_its_level_exactly(held, rows, rate):
    """Summed over all outcomes; a normal distribution's tail is above the level many times."""
    chance = 0.0
    before, after = stats.binom.pmf(range(held + 1), held, rate), stats.binom.pmf(range(rows + 1), rows, rate)
    for wrong in range(held + 1):
        baseline = SliceBaseline(LossSums(held, wrong, wrong))
        late = 0.0
        for found in range(rows, -1, -1):
            if decay_p_value(baseline, LossSums(rows, found, found), binary=True) >= SIGNIFICANCE:
                break
            late += after[found]
        chance += before[wrong] * late
    assert chance <= SIGNIFICANCE


@pytest.mark.parametrize(("bad", "most"), [(0.9, 12), (0.6, 20)])
def test_a_tenth_that_decays_is_found_in_time(bad, most):
    found = [stream("some", seed, slices=9, share=0.1, changed_at=12, bad=bad)[1] for seed in range(6)]
    assert all(delay is not None and delay <= most for delay in found)


def test_windows_without_a_change_have_drifted_slices_no_more_often_than_alpha():
    drifted = [bool(found) for seed in range(2) for found in windows(seed, 20)]
    assert sum(drifted) <= stats.binom.isf(0.001, len(drifted), 0.05)


@pytest.mark.parametrize(("kind", "days", "hours"), [("hour_of_day", 7, 6), ("hour_of_week", 21, 24)])
def test_seasons_keep_slices_without_a_change_below_alpha_too(kind, days, hours):
    drifted, windows = 0, 0
    for seed in range(2):
        found, computable = seasonal_windows(seed, 12, days=days, hours=hours, kind=kind)
        drifted, windows = drifted + sum(bool(each) for each in found), windows + len(found)
        assert computable > 0.5
    assert drifted <= stats.binom.isf(0.001, windows, 0.05)


def test_without_their_seasons_the_hours_alone_would_be_drift_and_with_them_a_shift_is_found():
    plain, _ = seasonal_windows(5, 4, days=7, seasonal=False)
    assert all(plain)
    shifted, _ = seasonal_windows(5, 4, days=14, hours=24, shifted="d", per_hour=120)
    assert [found["c0=d"] for found in shifted] == [("n0",)] * 4


def test_a_slice_whose_inputs_move_is_named():
    for found in windows(3, 3, shifted="d"):
        assert found["c0=d"] == ("n0",)
        assert set(found) == {"c0=d"}


def test_correlated_errors_count_for_less():
    rng = np.random.default_rng(2)
    independent = (rng.random(800) < 0.2).astype(float)
    shared = np.repeat((rng.random(80) < 0.2).astype(float), 10)
    recent = LossSums(100, 45, 45)
    p = [decay_p_value(SliceBaseline.of(losses), recent, binary=True) for losses in (independent, shared)]
    assert p[0] < SIGNIFICANCE < p[1]
