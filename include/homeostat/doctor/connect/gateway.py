"""The gateway's health and models, as it reports them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from homeostat.config import Settings
from homeostat.config.errors import Unavailable
from homeostat.doctor.http_probe import ProbeResponse, get


@dataclass(frozen=True, slots=True)
class GatewayReport:
    """Health and models. ``models`` is None when the gateway refuses to list them to us."""

    health: dict[str, Any]
    models: dict[str, dict[str, Any]] | None
    offset: timedelta | None


def connect(settings: Settings) -> GatewayReport:
    """Read the gateway's health and models.

    Raises
    ------
    Unavailable, ConfigError
        It does not respond, or the server is not a gateway.
    """
    token = settings.control_token
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = get(f"{settings.gateway}/health", "the gateway", "HOMEOSTAT_GATEWAY", headers)
    health = _json(response)
    if health is None or "status" not in health:
        msg = f"the server at HOMEOSTAT_GATEWAY is not a gateway: /health returned HTTP {response.status}"
        if response.text:
            msg += f" {response.text[:60]!r}"
        raise Unavailable(msg)
    models = get(f"{settings.gateway}/models", "the gateway", "HOMEOSTAT_GATEWAY", headers)
    listed = _json(models) if models.status == 200 else None
    by_name = {each["name"]: each for each in listed["models"]} if listed and "models" in listed else None
    return GatewayReport(health, by_name, response.offset)


def _json(response: ProbeResponse) -> dict[str, Any] | None:
    try:
        found = response.response.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
