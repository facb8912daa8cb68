"""Whether a rollout gets the rows that it needs in the time that its settings allow."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from homeostat.config.duration import describe_duration
from homeostat.core.rollout import Plan, RolloutPace, TrafficRate
from homeostat.doctor.check import Finding, ok, skipped, warning
from homeostat.doctor.check_freshness import newest_window

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.doctor.deployment import Deployment


def check_rollout_pace(deployment: Deployment, model: ModelConfig) -> Finding:
    """Check that shadow and every canary step reach ``min_samples`` before they end as inconclusive."""
    if model.serve != "gateway":
        return skipped("not served by a gateway: model.yaml has serve: none")
    rate = deployment.rate or _newest_rate(deployment, model)
    if rate is None:
        return skipped("no traffic known yet: give --rows-per-hour")
    pace = RolloutPace.of(Plan.of(model), rate)
    return warning(pace.sentence, pace.remedy) if pace.remedy else ok(pace.sentence)


def _newest_rate(deployment: Deployment, model: ModelConfig) -> TrafficRate | None:
    newest = newest_window(deployment, model)
    if newest is None or not newest.rows:
        return None
    window = model.monitor.window
    source = f"in the window of {describe_duration(window)} to {newest.window_end:%Y-%m-%d %H:%M} UTC"
    return TrafficRate(newest.rows / (window / timedelta(hours=1)), source)
