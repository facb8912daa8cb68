"""Whether drift of the inputs makes predictions worse."""

from __future__ import annotations

from collections.abc import Sequence

from homeostat.config import ModelConfig
from homeostat.core.performance import BatchScore, PerformanceReport
from homeostat.core.trigger import Impact


def drift_impact(
    config: ModelConfig,
    report: PerformanceReport,
    batches: Sequence[BatchScore],
    since_drift: Sequence[BatchScore],
) -> Impact:
    """Decide from labels or, before they arrive, from the estimate, unless it abstains.

    The estimate sees how drifted inputs change the confidence, not whether their meaning has changed too. So
    it may show an impact by itself, but rule one out only while labels arrive that have agreed with it
    (otherwise it abstains).
    """
    if report.degraded:
        return "shown"
    if sum(batch.rows for batch in since_drift) >= config.monitor.min_rows:
        return "not_shown"
    estimate = report.estimate
    if estimate is None or estimate.low is None or estimate.high is None or estimate.baseline is None:
        return "unknown"
    if estimate.high < estimate.baseline - config.gate.max_regression:
        return "shown"
    confirmed = sum(batch.rows for batch in batches) >= config.monitor.min_rows
    harmless = estimate.low > estimate.baseline - config.trigger.decay
    return "not_shown" if confirmed and harmless else "unknown"
