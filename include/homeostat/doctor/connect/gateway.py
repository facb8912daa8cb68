"""The gateway's health and models, as it reports them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from homeostat.config import Settings
from homeostat.config.errors import Unavailable
from homeostat.doctor.http_probe import Answer, get


@dataclass(frozen=True, slots=True)
class GatewayReport:
    """What the gateway says of itself. ``models`` is None where it does not tell us."""

    health: dict[str, Any]
    models: dict[str, dict[str, Any]] | None
    offset: timedelta | None


def connect(settings: Settings) -> GatewayReport:
    """Ask for its health and its models.

    Raises
    ------
    Unavailable, ConfigError
        It does not answer, or what answers is no gateway.
    """
    token = settings.control_token
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    health = get(f"{settings.gateway}/health", "the gateway", "HOMEOSTAT_GATEWAY", headers)
    said = _json(health)
    if said is None or "status" not in said:
        msg = f"what answers there is no gateway: /health gave {health.status}"
        if health.text:
            msg += f" {health.text[:60]!r}"
        raise Unavailable(msg)
    models = get(f"{settings.gateway}/models", "the gateway", "HOMEOSTAT_GATEWAY", headers)
    listed = _json(models) if models.status == 200 else None
    by_name = {each["name"]: each for each in listed["models"]} if listed and "models" in listed else None
    return GatewayReport(said, by_name, health.offset)


def _json(answer: Answer) -> dict[str, Any] | None:
    try:
        found = answer.response.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
