"""Ask the gateway at HOMEOSTAT_GATEWAY what it serves, with short time limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from homeostat.config import Settings
from homeostat.config.redaction import redact_userinfo
from homeostat.core.rollout import Phase, Traffic
from homeostat.core.rollout.served import GatewayView, Served, describe_served

_TIMEOUT = httpx.Timeout(3.0, connect=1.0)


@dataclass(frozen=True, slots=True)
class GatewayViews:
    """What the gateway reports, by model; ``problem`` says why nothing is known, "" when it responded."""

    address: str
    views: Mapping[str, GatewayView] = field(default_factory=dict)
    problem: str = ""

    def of(self, model: str) -> GatewayView | str:
        """Return what the gateway reports about this model, or why that is not known."""
        if self.problem or model in self.views:
            return self.problem or self.views[model]
        return f"the gateway at {self.address} does not know the model: restart it, it reads model.yaml then"


def read_gateway(settings: Settings) -> GatewayViews:
    """Return what the gateway reports about every model. Never raises for a gateway that is away."""
    address = redact_userinfo(settings.gateway)
    token = settings.control_token
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        response = httpx.get(f"{settings.gateway}/models", timeout=_TIMEOUT, headers=headers, trust_env=False)
        if response.status_code in (401, 403):
            return GatewayViews(address, problem=f"the gateway at {address} needs HOMEOSTAT_CONTROL_TOKEN")
        views = {status["name"]: GatewayView.from_status(status) for status in response.json()["models"]}
    except (httpx.HTTPError, httpx.InvalidURL):
        start = "Start one: homeostat up, or homeostat gateway"
        return GatewayViews(address, problem=f"no gateway responds at {address} (HOMEOSTAT_GATEWAY). {start}")
    except (ValueError, KeyError, TypeError, AttributeError):
        return GatewayViews(address, problem=f"the server at {address} (HOMEOSTAT_GATEWAY) is not a gateway")
    return GatewayViews(address, views)


def why_first_version_waits(settings: Settings, traffic: Traffic) -> Served | None:
    """Return why a registered first version does not serve yet; None when there is none."""
    rollout = traffic.active
    if traffic.champion is not None or rollout is None or rollout.phase is not Phase.REGISTERED:
        return None
    view = read_gateway(settings).of(traffic.model)
    if isinstance(view, GatewayView) and view.revision > traffic.revision:
        return None  # it has read, or written, a change since ``traffic`` was read
    return describe_served(traffic, view)
