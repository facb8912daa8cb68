"""Notices that did not reach the people whom model.yaml names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.doctor.check import Finding, broken, ok, warning

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.doctor.deployment import Deployment


def check_notices(deployment: Deployment, model: ModelConfig) -> Finding:
    """Check that no notice of this model failed to be sent."""
    from homeostat.notices.outbox import undelivered

    if not model.notify:
        return ok("no notices are sent: model.yaml names no one under notify")
    found = list(undelivered(deployment.store.get_or_skip().store, model.name))
    given_up = [each for each in found if each.given_up]
    failing = given_up or [each for each in found if each.attempts and each.claimed_at is None]
    if not failing:
        return ok("every notice was sent")
    more = f" (and {len(failing) - 1} more)" if len(failing) > 1 else ""
    remedy = "correct the connection in Airflow, under Admin, Connections; see docs/notices.md"
    return (broken if given_up else warning)(f"{failing[-1].sentence}{more}", remedy)
