"""The pump simulator: reproducible, additive over intervals, and changed only as the scenario defines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from homeostat.config.errors import ConfigError

ORIGIN = datetime(2026, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)
NUMBERS = ["temperature", "vibration", "pressure", "flow", "rpm", "load", "ambient"]

minutes = st.integers(0, 3 * 60).map(lambda m: timedelta(minutes=m))


@settings(max_examples=15, deadline=None)
@given(cuts=st.tuples(minutes, minutes, minutes).map(sorted), drift=minutes, seed=st.integers(0, 3))
@pytest.mark.parametrize("scenario", ["quiet", "schema", "story"])
def test_two_adjacent_intervals_equal_the_whole(pump_simulator, scenario, cuts, drift, seed):
    a, b, c = (ORIGIN + cut for cut in cuts)

    def part(start, end):
        return pump_simulator.simulate(start, end, scenario, drift_at=ORIGIN + drift, seed=seed)

    whole, halves = part(a, c), [part(a, b), part(b, c)]
    glued = pd.concat([half for half in halves if len(half)] or halves[:1], ignore_index=True)
    pd.testing.assert_frame_equal(glued.reindex(columns=whole.columns), whole)
    assert glued.drop(columns=list(whole.columns), errors="ignore").isna().all(axis=None)


def test_the_same_seed_and_hours_give_the_same_rows(pump_simulator):
    before = pump_simulator.simulate(ORIGIN, ORIGIN + DAY)
    pump_simulator.simulate(ORIGIN - DAY, ORIGIN, seed=5)
    pump_simulator._knots.cache_clear()
    pd.testing.assert_frame_equal(before, pump_simulator.simulate(ORIGIN, ORIGIN + DAY))
    assert not before.equals(pump_simulator.simulate(ORIGIN, ORIGIN + DAY, seed=1))


def test_rows_are_sorted_in_utc_240_per_hour_with_a_learnable_share_of_faults(pump_simulator):
    rows = pump_simulator.simulate(ORIGIN, ORIGIN + 2 * DAY)
    assert len(rows) == 48 * 240
    assert rows["timestamp"].is_monotonic_increasing
    assert rows["timestamp"].is_unique
    assert str(rows["timestamp"].dt.tz) == "UTC"
    assert rows["timestamp"].iloc[0] == ORIGIN
    assert rows["pump"].nunique() == 40
    assert 0.15 < rows["fault"].mean() < 0.30
    assert np.isfinite(rows[NUMBERS]).all(axis=None)


def test_an_empty_interval_gives_no_rows_but_all_columns(pump_simulator):
    rows = pump_simulator.simulate(ORIGIN, ORIGIN)
    assert rows.empty
    assert {"timestamp", "pump", "fault", *NUMBERS} <= set(rows.columns)


def test_nothing_changes_before_drift_at_or_without_one(pump_simulator):
    quiet = pump_simulator.simulate(ORIGIN, ORIGIN + DAY)
    later = pump_simulator.simulate(ORIGIN, ORIGIN + DAY, "story", drift_at=ORIGIN + DAY)
    never = pump_simulator.simulate(ORIGIN, ORIGIN + DAY, "story")
    pd.testing.assert_frame_equal(quiet, later)
    pd.testing.assert_frame_equal(quiet, never)


def test_covariate_drift_changes_readings_but_not_faults(pump_simulator):
    quiet = pump_simulator.simulate(ORIGIN, ORIGIN + DAY)
    drifted = pump_simulator.simulate(ORIGIN, ORIGIN + DAY, "covariate", drift_at=ORIGIN + DAY / 2)
    since = quiet["timestamp"] >= ORIGIN + DAY / 2
    assert np.allclose((drifted["temperature"] - quiet["temperature"])[since], 10, atol=0.002)
    assert drifted["temperature"][~since].equals(quiet["temperature"][~since])
    assert drifted["fault"].equals(quiet["fault"])
    unmoved = ["rpm", "load", "ambient", "site", "pump_type"]
    pd.testing.assert_frame_equal(drifted[unmoved], quiet[unmoved])


def test_concept_drift_changes_faults_but_not_readings(pump_simulator):
    quiet = pump_simulator.simulate(ORIGIN, ORIGIN + DAY)
    drifted = pump_simulator.simulate(ORIGIN, ORIGIN + DAY, "concept", drift_at=ORIGIN)
    pd.testing.assert_frame_equal(quiet.drop(columns="fault"), drifted.drop(columns="fault"))
    assert (quiet["fault"] != drifted["fault"]).mean() > 0.1


def test_schema_drift_removes_a_column_adds_one_and_adds_a_category(pump_simulator):
    half = ORIGIN + DAY / 2
    both = pump_simulator.simulate(ORIGIN, ORIGIN + DAY, "schema", drift_at=half)
    since = both["timestamp"] >= half
    assert both["pressure"][since].isna().all()
    assert both["pressure"][~since].notna().all()
    assert both["oil_pressure"][since].notna().all()
    assert (both["site"][since] == "valley").mean() == pytest.approx(0.2)
    assert "valley" not in set(both["site"][~since])
    after = pump_simulator.simulate(half, ORIGIN + DAY, "schema", drift_at=half)
    assert "pressure" not in after.columns
    assert "oil_pressure" not in pump_simulator.simulate(ORIGIN, half, "schema", drift_at=half).columns


def test_a_change_can_start_after_the_drift(pump_simulator):
    change = {"kind": "covariate", "after": "6h", "column": "flow", "scale": 2.0}
    rows = pump_simulator.simulate(ORIGIN, ORIGIN + DAY, {"changes": [change]}, drift_at=ORIGIN)
    quiet = pump_simulator.simulate(ORIGIN, ORIGIN + DAY)
    since = rows["timestamp"] >= ORIGIN + timedelta(hours=6)
    assert (rows["flow"] != quiet["flow"]).equals(since)


@pytest.mark.parametrize("hour", [0, 6, 12, 18])
def test_daily_checks_find_no_drift_in_a_quiet_week(pump_simulator, hour):
    rows = pump_simulator.simulate(ORIGIN, ORIGIN + 8 * DAY)
    reference = rows[rows["timestamp"] < ORIGIN + DAY]
    for day in range(1, 7):
        start = ORIGIN + timedelta(days=day, hours=hour)
        window = rows[(rows["timestamp"] >= start) & (rows["timestamp"] < start + DAY)]
        effects = {name: ks_2samp(reference[name], window[name]).statistic for name in NUMBERS}
        drifted = [name for name, effect in effects.items() if effect >= 0.1]
        assert len(drifted) / 9 < 0.3, effects


def test_the_scenario_shifts_more_than_three_tenths_of_the_features(pump_simulator):
    rows = pump_simulator.simulate(ORIGIN, ORIGIN + 2 * DAY, "story", drift_at=ORIGIN + DAY)
    since = rows["timestamp"] >= ORIGIN + DAY
    moved = [n for n in NUMBERS if ks_2samp(rows[n][since], rows[n][~since]).statistic > 0.35]
    assert len(moved) / 9 > 0.3


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        ("storm", "no scenario 'storm'; scenarios: quiet, covariate"),
        ({"changes": [{"kind": "flood"}]}, "kind is 'flood', expected one of covariate"),
        ({"changes": [{"kind": "covariate"}]}, r"changes\[0\].*lacks 'column'"),
        ({"changes": [{"kind": "retire", "column": "flow", "shft": 1}]}, "does not know 'shft'"),
        ({"changes": [{"kind": "retire", "column": "site"}]}, "is not one of temperature"),
        ({"changes": [{"kind": "concept", "coefficients": {"colour": 1}}]}, "no coefficient 'colour'"),
    ],
)
def test_an_invalid_scenario_is_refused_with_a_fix(pump_simulator, scenario, message):
    with pytest.raises(ConfigError, match=message):
        pump_simulator.simulate(ORIGIN, ORIGIN + DAY, scenario)
