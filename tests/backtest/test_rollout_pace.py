"""The pace of a rollout at the traffic of a history."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from homeostat.backtest import BacktestResult, split_history, with_pace
from homeostat.backtest.rollout_pace import history_rate
from homeostat.config import ModelConfig
from homeostat.core.rollout import TrafficRate

T0 = datetime(2026, 1, 5, tzinfo=UTC)


def result(every=timedelta(hours=1), rows=1000, windows: int | timedelta = 100, **more):
    raw = {
        "name": "small",
        "task": "classification",
        "pipeline": "pipeline.py:build",
        "source": {"kind": "csv", "uri": "rows.csv"},
        "schema": {"timestamp": "at", "label": {"name": "y"}, "features": {"a": {"type": "number"}}},
    }
    frame = pd.DataFrame({"at": pd.date_range(T0, periods=rows, freq=every)})
    history = split_history(frame, "at", windows, 0.3)
    return BacktestResult(
        ModelConfig.model_validate(raw | more), history, "accuracy", {}, None, notes=["first"]
    )


@pytest.mark.parametrize("windows", [100, timedelta(days=4)])
def test_the_historys_own_rows_are_a_note(windows):
    found = with_pace(result(windows=windows))
    first, note = found.notes
    assert first == "first"
    assert note == (
        "a rollout at 1 row an hour (in this history): shadow 8.33 days (200 rows; shadow.duration is 1 day),"
        " canary step 1 (10%) is skipped (200 rows take 83.3 days, canary.max_step_duration is 30 days),"
        " canary step 2 (50%) 16.7 days (200 rows; canary.step_duration is 1 hour); about 25 days in all"
    )


def test_a_given_traffic_is_said_beside_the_historys():
    found = with_pace(result(), TrafficRate(10_000, "--rows-per-hour"))
    assert found.pace.rate.rows_per_hour == 10_000
    assert found.notes[-1] == (
        "a rollout at 10,000 rows an hour (--rows-per-hour): shadow 1 day, canary step 1 (10%) 1 hour, canary"
        " step 2 (50%) 1 hour; about 26 hours in all. The replay keeps 1 row an hour (in this history)"
    )


def test_settings_that_do_not_fit_come_with_values_that_do():
    found = with_pace(result(every=timedelta(hours=12)))
    assert found.notes[-1].endswith(
        ". To make it fit: lower shadow.min_samples to 60 or raise shadow.max_duration to 100d; lower"
        " canary.min_samples to 30 or raise canary.max_step_duration to 200d"
    )


def test_gaps_count_as_time_without_traffic():
    early, late = result(rows=500).history, result(rows=501).history
    gap = early.original_times.tolist() + [t + timedelta(days=90) for t in late.original_times]
    history = replace(early, original_times=pd.Series(gap))
    assert history_rate(history).rows_per_hour == pytest.approx(1000 / (90 * 24 + 500))


def test_a_batch_model_has_no_pace():
    batch = result(serve="none")
    assert with_pace(batch) is batch
