"""Decay is an alert only when it is significant; degraded needs three standard errors."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from homeostat.config.model import ModelConfig
from homeostat.core.performance import Baseline, BatchScore, PerformanceReport, assess

START = datetime(2024, 1, 1, tzinfo=UTC)
RIGHT = Baseline(0.9, 1000, 0.09)  # 0.9 * 0.1, as independent rows scatter


def config(*, task="classification", **more):
    return ModelConfig.model_validate(
        {
            "name": "m",
            "task": task,
            "pipeline": "pipeline.py:build",
            "source": {"kind": "csv", "uri": "x.csv"},
            "schema": {"label": {"name": "y"}, "features": {"x": {"type": "number"}}},
            "monitor": {"min_rows": 100},
            **more,
        }
    )


def batches(*scores, rows=50):
    return [BatchScore(START + timedelta(hours=i), score, rows) for i, score in enumerate(scores)]


def error_of(baseline, rows):
    return math.sqrt(baseline.variance * (1 / rows + 1 / baseline.rows))


def test_the_same_loss_is_significant_only_over_enough_rows():
    noisy = Baseline(0.9, 2000, 1.0)
    few = assess(config(), noisy, batches(0.78, rows=150), pending=False)
    many = assess(config(), noisy, batches(0.78, rows=5000), pending=False)
    assert (few.verdict, few.critical) == ("pass", False)
    assert few.decay == many.decay == pytest.approx(0.12)
    assert "not significant" in few.reason
    assert many.verdict == "alert"
    assert "chance" not in many.reason


@pytest.mark.parametrize(("baseline", "rows"), [(RIGHT, 150), (Baseline(0.9, 60, 1.0), 120)])
def test_the_error_is_that_of_both_scores(baseline, rows):
    found = assess(config(), baseline, batches(0.8, rows=rows), pending=False)
    assert found.error == pytest.approx(error_of(baseline, rows))
    assert f"standard error of {found.error:.2g}" in found.reason


@pytest.mark.parametrize(("factor", "verdict"), [(1.6, "pass"), (1.7, "alert")])
def test_an_alert_takes_so_many_standard_errors(factor, verdict):
    variance = (0.2 / factor) ** 2 / (1 / 100 + 1 / 1000)
    found = assess(config(), Baseline(0.9, 1000, variance), batches(0.7, rows=100), pending=False)
    assert found.verdict == verdict
    assert found.critical == (verdict == "alert")


def test_without_a_variance_the_limit_alone_decides():
    for baseline in (0.9, Baseline(0.9), Baseline(0.9, 0, 0.1), Baseline(0.9, 1000, None)):
        found = assess(config(), baseline, batches(0.75, rows=100), pending=False)
        assert (found.verdict, found.critical, found.error) == ("alert", True, None)


def test_a_relative_metric_has_a_relative_error():
    baseline = Baseline(10.0, 400, 36.0)
    found = assess(config(task="regression"), baseline, batches(12.0, rows=400), pending=False)
    assert found.decay == pytest.approx(0.2)
    assert found.error == pytest.approx(error_of(baseline, 400) / 10)


def test_batches_weigh_as_much_as_their_rows():
    uneven = [BatchScore(START, 0.5, 100), BatchScore(START + timedelta(hours=1), 0.9, 900)]
    found = assess(config(), RIGHT, uneven, pending=False)
    assert found.score == pytest.approx(0.86)
    assert (found.batches, found.rows) == (2, 1000)


@pytest.mark.parametrize(
    ("every", "window", "span"),
    [("1h", "24h", 10), ("1h", "2h", 4), ("1h", "1h", 2), ("7d", "7d", 2), ("8h", "24h", 6)],
)
def test_two_windows_of_batches_count_and_ten_at_most(every, window, span):
    monitored = config(monitor={"every": every, "window": window, "min_rows": 100})
    found = assess(monitored, RIGHT, batches(*[0.1] * 20, *[0.9] * span, rows=200), pending=False)
    assert (found.batches, found.rows, found.score) == (span, 200 * span, pytest.approx(0.9))


def test_a_batch_with_a_score_that_is_not_finite_is_left_out():
    spoilt = [BatchScore(START, math.nan, 5000), BatchScore(START + timedelta(hours=1), 0.2, 40)]
    found = assess(config(), RIGHT, spoilt, pending=False)
    assert (found.verdict, found.rows) == ("not_computable", 40)
    assert "only 40 labelled rows" in found.reason


def degraded(scores, baseline=RIGHT, *, pending=False, **more):
    return assess(config(**more), baseline, [], pending=pending, since_drift=scores).degraded


def test_degraded_needs_three_standard_errors():
    error = error_of(RIGHT, 400)
    assert degraded(batches(0.9 - 3.1 * error, rows=400))
    assert not degraded(batches(0.9 - 2.9 * error, rows=400))
    assert degraded(batches(*[0.9 - 3.1 * error] * 4, rows=100)), "many small batches are as good as one"


def test_degraded_need_not_be_decay_but_exceeds_max_regression():
    slight = batches(0.87, rows=100_000)
    sure = Baseline(0.9, 100_000, 0.09)
    assert degraded(slight, sure)
    assert not degraded(slight, sure, gate={"max_regression": 0.04})
    assert not degraded(batches(0.93, rows=100_000), sure)


@pytest.mark.parametrize("baseline", [Baseline(0.9), Baseline(None, 1000, 0.1), None, 0.9])
def test_degraded_is_false_without_a_variance(baseline):
    assert not degraded(batches(0.1, rows=1000), baseline)


def test_degraded_needs_enough_rows_and_not_this_windows_labels():
    assert not degraded(batches(0.1, rows=99))
    assert not degraded([])
    assert degraded(batches(0.1, rows=100))
    assert degraded(batches(0.1, rows=100), pending=True)


def below_best(scores, best, baseline=RIGHT, **more):
    return assess(config(**more), baseline, scores, pending=False, best=best).below_best


def test_a_version_with_a_low_baseline_is_compared_with_the_best_one():
    bad_times = Baseline(0.75, 1000, 0.1)
    found = assess(config(), bad_times, batches(0.74, rows=1000), pending=False, best=0.9)
    assert (found.verdict, found.below_best) == ("pass", True)
    assert not below_best(batches(0.81, rows=1000), 0.9, bad_times), "within trigger.decay"
    assert not below_best(batches(0.74, rows=1000), 0.75, bad_times)
    assert not below_best(batches(0.74, rows=1000), None, bad_times)


def test_below_best_must_be_significant():
    noisy = Baseline(0.75, 1000, 2.0)
    assert not below_best(batches(0.75, rows=100), 0.9, noisy)
    assert below_best(batches(0.75, rows=100_000), 0.9, noisy)
    assert not below_best(batches(0.1, rows=1000), 0.9, Baseline(0.75)), "nobody knows what chance gives"
    assert not below_best(batches(0.1, rows=99), 0.9)


def test_the_best_error_is_the_lowest():
    usual = Baseline(13.0, 4000, 36.0)
    assert below_best(batches(13.0, rows=4000), 10.0, usual, task="regression")
    assert not below_best(batches(13.0, rows=4000), 12.5, usual, task="regression")


def test_a_report_survives_json():
    found = assess(config(), RIGHT, batches(0.7, rows=300), pending=False, since_drift=batches(0.7, rows=300))
    raw = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert found.degraded
    assert PerformanceReport.from_json(raw) == found
    old = {
        name: value for name, value in raw.items() if name not in ("error", "degraded", "short", "estimate")
    }
    assert PerformanceReport.from_json(old).error is None


@pytest.mark.parametrize(("rows", "most"), [(150, 0.1), (1500, 0.065)])
def test_a_steady_model_seldom_alerts(rows, most):
    """2,000 samples: rows of the holdout and of the batches are wrong with the same probability."""
    rng = np.random.default_rng(0)
    steady = config(trigger={"decay": 0.001, "critical_decay": 0.5})
    alerts = 0
    for _ in range(2000):
        holdout, recent = rng.binomial(2 * rows, 0.9) / (2 * rows), rng.binomial(rows, 0.9) / rows
        baseline = Baseline(holdout, 2 * rows, holdout * (1 - holdout))
        alerts += assess(steady, baseline, batches(recent, rows=rows), pending=False).verdict == "alert"
    assert alerts / 2000 < most
