"""The pace of a rollout at the traffic of a history."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pandas as pd
import pytest

from homeostat.backtesting import BacktestResult, split_history, with_pace
from homeostat.backtesting.assessment import Assessment
from homeostat.backtesting.rollout_pace import history_rate
from homeostat.config import ModelConfig
from homeostat.core.rollout import TrafficRate

T0 = datetime(2026, 1, 5, tzinfo=UTC)


def result(every=timedelta(hours=1), rows=1000, windows: int | timedelta = 100, **more):
    raw = {
        "name": "small",
        "task": "classification",
        "pipeline": "pipeline.py:build",
        "source": {"kind": "csv", "uri": "rows.csv"},
        "schema": {
            "timestamp": "at",
            "label": {"name": "y", "delay": "24h"},
            "features": {"a": {"type": "number"}},
        },
    }
    frame = pd.DataFrame({"at": pd.date_range(T0, periods=rows, freq=every)})
    history = split_history(frame, "at", windows, 0.3)
    unused = cast("Assessment", None)  # a pace needs no scores
    return BacktestResult(
        ModelConfig.model_validate(raw | more), history, "accuracy", {}, unused, notes=["first"]
    )


@pytest.mark.parametrize("windows", [100, timedelta(days=4)])
def test_the_historys_own_rows_are_a_note(windows):
    found = with_pace(result(windows=windows))
    first, note = found.notes
    assert first == "first"
    assert note == (
        "a rollout at 1 row an hour (in this history): shadow 3 days (shadow.wait_for_samples; 200 rows would"
        " take 8.33 days), canary step 1 (10%) is skipped (200 rows take 83.3 days, canary.skip_longer_than"
        " is 3 days), canary step 2 (50%) is skipped (200 rows take 16.7 days, canary.skip_longer_than is 3"
        " days); about 3 days in all. So little traffic has no canary: the version is promoted after its"
        " shadow, and the former champion stays in shadow for 7 days"
    )


def test_a_given_traffic_is_said_beside_the_historys():
    found = with_pace(result(), TrafficRate(10_000, "--rows-per-hour"))
    assert found.pace.rate.rows_per_hour == 10_000
    assert found.notes[-1] == (
        "a rollout at 10,000 rows an hour (--rows-per-hour): shadow 1 day, canary step 1 (10%) 1 hour, canary"
        " step 2 (50%) 1 hour; about 26 hours in all. The replay keeps 1 row an hour (in this history)"
    )


def test_settings_that_do_not_fit_come_with_values_that_do():
    found = with_pace(result(every=timedelta(hours=48)))
    assert found.notes[-1].endswith(
        ". To make it fit: lower shadow.min_samples to 15 or raise shadow.max_duration to 60d"
    )


def test_gaps_count_as_time_without_traffic():
    early, late = result(rows=500).history, result(rows=501).history
    gap = early.original_times.tolist() + [t + timedelta(days=90) for t in late.original_times]
    history = replace(early, original_times=pd.Series(gap))
    assert history_rate(history).rows_per_hour == pytest.approx(1000 / (90 * 24 + 500))


def test_a_batch_model_has_no_pace():
    batch = result(serve="none")
    assert with_pace(batch) is batch
