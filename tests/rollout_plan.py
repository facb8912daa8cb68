"""The settings of a rollout that the tests of the rollout room share."""

from datetime import timedelta

from homeostat.core.rollout import Plan

PLAN = Plan(
    shadow=timedelta(hours=1),
    max_divergence=0.1,
    shadow_min_samples=50,
    steps=(0.1, 0.5),
    step_duration=timedelta(hours=1),
    min_samples=50,
    error_rate=0.01,
    p99_latency_ms=200.0,
    window=100,
    metric="accuracy",
    max_regression=0.02,
)
