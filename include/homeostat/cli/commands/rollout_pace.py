"""How long a rollout takes at a model's traffic: the one under way, or else the next one."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

from homeostat.config.errors import ConfigError

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.core.rollout import RolloutPace, RolloutProgress, Traffic, TrafficRate
    from homeostat.ports import Ledger


def given_rate(rows_per_hour: float | None) -> TrafficRate | None:
    """Return the rate that ``--rows-per-hour`` gives, or None without the option.

    Raises
    ------
    ConfigError
        Not a positive number.
    """
    from homeostat.core.rollout import TrafficRate

    if rows_per_hour is None:
        return None
    if not (math.isfinite(rows_per_hour) and rows_per_hour > 0):
        msg = f"--rows-per-hour {rows_per_hour:g}: write a positive number, such as 1200 or 1.6"
        raise ConfigError(msg)
    return TrafficRate(rows_per_hour, "--rows-per-hour")


def find_pace(
    config: ModelConfig | None, ledger: Ledger, traffic: Traffic, now: datetime, given: TrafficRate | None
) -> RolloutPace | RolloutProgress | None:
    """Return the progress of the rollout under way, or else the pace of the next one.

    None when the traffic is not known, when a rollout waits for a person, and for models that no gateway
    serves.

    Parameters
    ----------
    config
        None when model.yaml cannot be read: then only a rollout under way is described.
    given
        The traffic to assume instead of what the gateways counted.
    """
    from homeostat.core.rollout import Phase, Plan, RolloutPace, rollout_progress
    from homeostat.rollouts.traffic_rate import traffic_rate

    rollout = traffic.active
    if rollout is not None and rollout.phase is not Phase.REGISTERED:
        evidence = ledger.evidence(traffic.model, rollout.id)
        return rollout_progress(rollout, evidence, now, None if given is None else given.rows_per_hour)
    if config is None or config.serve == "none":
        return None
    rate = given or traffic_rate(ledger, traffic, now)
    plan = Plan.of(config) if rollout is None else rollout.plan
    return None if rate is None else RolloutPace.of(plan, rate)
