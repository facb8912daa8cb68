"""How many rows an hour a model gets, from the counts that gateways send to the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from homeostat.config.duration import describe_duration
from homeostat.core.rollout import Traffic, TrafficRate, served_rows
from homeostat.ports import Ledger

_LOOKBACK = timedelta(hours=24)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def traffic_rate(ledger: Ledger, traffic: Traffic, now: datetime) -> TrafficRate | None:
    """Return the rows an hour of the last day, or since the rollout's phase began if that was later.

    None when there was no rollout yet, or no row since. Gateways go on counting after a rollout has ended.

    Raises
    ------
    Unavailable
        The ledger does not respond.
    """
    rollout = traffic.rollout
    if rollout is None:
        return None
    # The ledger rounds down to whole hours, so that a span of whole hours is exact.
    whole_hours = now - _LOOKBACK - (now - _EPOCH) % timedelta(hours=1)
    since = max(rollout.entered_at, whole_hours)
    rows = served_rows(rollout, ledger.evidence(traffic.model, rollout.id, since))
    elapsed = now - since
    if not rows or elapsed <= timedelta(0):
        return None
    span = "24 hours" if since == whole_hours else describe_duration(elapsed)
    return TrafficRate(rows / (elapsed / timedelta(hours=1)), f"in the last {span}")
