"""Decay and its verdict."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config.model import ModelConfig
from homeostat.core.performance import BatchScore, PerformanceReport, assess, decay

START = datetime(2024, 1, 1, tzinfo=UTC)
CONFIG = ModelConfig.model_validate(
    {
        "name": "m",
        "task": "classification",
        "pipeline": "pipeline.py:build",
        "source": {"kind": "csv", "uri": "x.csv"},
        "schema": {"label": {"name": "y"}, "features": {"x": {"type": "number"}}},
        "monitor": {"min_rows": 100},
    }
)


def batches(*scores, rows=50):
    return [BatchScore(START + timedelta(hours=i), score, rows) for i, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("metric", "baseline", "scores", "expected"),
    [
        ("accuracy", 0.9, [0.8], 0.1),
        ("accuracy", 0.9, [0.95], -0.05),
        ("mae", 10.0, [12.0], 0.2),
        ("rmse", 10.0, [8.0], -0.2),
        ("log_loss", 0.5, [0.6], 0.2),
        ("r2", 0.5, [0.4], 0.1),
        ("accuracy", 0.9, [0.0] * 5 + [0.9] * 10, 0.0),
        ("accuracy", 0.9, [0.9, float("nan")], 0.0),
        ("accuracy", 0.9, [], None),
        ("accuracy", 0.9, [float("nan")], None),
    ],
)
def test_decay_is_positive_when_worse_and_over_the_last_ten(metric, baseline, scores, expected):
    assert decay(baseline, scores, metric) == expected


def test_any_error_is_decay_from_a_baseline_of_zero():
    assert decay(0.0, [0.1], "mae") > 1e6
    assert decay(0.0, [0.0], "mae") == 0


@pytest.mark.parametrize(
    ("scores", "verdict", "critical"),
    [([0.9, 0.88], "pass", False), ([0.8, 0.8], "alert", False), ([0.7, 0.7], "alert", True)],
)
def test_the_verdict_follows_the_limits(scores, verdict, critical):
    report = assess(CONFIG, 0.9, batches(*scores), pending=False)
    assert (report.verdict, report.critical) == (verdict, critical)
    assert report.reason
    assert PerformanceReport.from_json(report.to_json()) == report


def test_without_labels_performance_is_pending():
    report = assess(CONFIG, 0.9, batches(0.1, 0.1), pending=True)
    assert (report.verdict, report.decay, report.critical) == ("pending", None, False)


@pytest.mark.parametrize(
    ("baseline", "scores", "says"),
    [
        (0.9, [], "no batch"),
        (None, batches(0.9, 0.9), "baseline was not recorded"),
        (float("nan"), batches(0.9, 0.9), "baseline was not recorded"),
        (0.9, batches(0.1, rows=99), "only 99 labelled rows"),
        (0.9, batches(float("nan"), float("nan")), "finite"),
    ],
)
def test_no_evidence_is_not_computable(baseline, scores, says):
    report = assess(CONFIG, baseline, scores, pending=False)
    assert (report.verdict, report.decay) == ("not_computable", None)
    assert says in report.reason


@settings(max_examples=50, deadline=None)
@given(order=st.permutations(range(14)))
def test_the_order_of_batches_does_not_matter(order):
    scores = batches(*[0.9 - 0.02 * i for i in range(14)])
    assert assess(CONFIG, 0.9, [scores[i] for i in order], pending=False) == assess(
        CONFIG, 0.9, scores, pending=False
    )
