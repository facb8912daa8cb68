"""Names of the health checks: a word for programs and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class HealthCheckName(StrEnum):
    """A check of a candidate, or of a champion after its promotion. The values are stored in the ledger."""

    LABELS = "labels"
    DIVERGENCE = "divergence"
    ERRORS = "errors"
    OUTPUT_RANGE = "output_range"
    PREDICTION_DISTRIBUTION = "prediction_distribution"
    P99_LATENCY = "p99_latency"
    CONFIDENCE = "confidence"
    CHAMPION_HOUR = "champion:hour"
    CHAMPION_DAY = "champion:day"


#: The sentence of each check: what it holds a version to.
CHECK_SENTENCES: Mapping[HealthCheckName, str] = {
    HealthCheckName.LABELS: (
        "On the labelled requests that both versions predicted, the candidate is no worse than the champion"
        " by more than gate.max_regression; after a promotion, no worse than the former champion."
    ),
    HealthCheckName.DIVERGENCE: (
        "In shadow, the candidate's predictions differ from the champion's at most shadow.max_divergence more"
        " often than expected from its holdout or from recent requests."
    ),
    HealthCheckName.ERRORS: (
        "The candidate raises no more exceptions and predicts no more NaN than the champion, and no more than"
        " rollback.error_rate allows."
    ),
    HealthCheckName.OUTPUT_RANGE: (
        "The candidate predicts no more values outside the range seen on its holdout than the champion does."
    ),
    HealthCheckName.PREDICTION_DISTRIBUTION: (
        "In the canary the candidate's predictions are distributed as they were in shadow, and not far from"
        " the control cohort's."
    ),
    HealthCheckName.P99_LATENCY: (
        "The candidate's p99 latency is within 20 % of the control cohort's and below"
        " rollback.p99_latency_ms."
    ),
    HealthCheckName.CONFIDENCE: (
        "The candidate's mean confidence is within 10 % of its own in shadow, or of the control cohort's"
        " without a shadow."
    ),
    HealthCheckName.CHAMPION_HOUR: (
        "In this UTC hour the promoted champion is within rollback.error_rate and rollback.p99_latency_ms."
    ),
    HealthCheckName.CHAMPION_DAY: (
        "In this UTC day the promoted champion is within rollback.error_rate and rollback.p99_latency_ms."
    ),
}
