"""Say which version of a model is served, from the ledger and from what a gateway reports.

The ledger names the version that ought to serve; only a gateway knows which one it has loaded. Everything
that shows what is served (``status``, ``retrain``, ``doctor``, the pages of Airflow and of the gateway, its
``/health``) takes the sentence from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from homeostat.core.rollout.phases import Phase, Rollout, Traffic


class ServedState(StrEnum):
    """What is served, compared with the ledger. docs/reasons.md explains each."""

    SERVED = "served"
    FALLBACK = "fallback"
    NOT_LOADED = "not_loaded"
    LOADING = "loading"
    ON_DEMAND = "on_demand"
    WAITS_FOR_APPROVAL = "waits_for_approval"
    REFUSED = "first_version_refused"
    NO_VERSION = "no_version"
    UNKNOWN = "unknown"
    OTHER_LEDGER = "other_ledger"


@dataclass(frozen=True, slots=True)
class GatewayView:
    """What a gateway reports about one model.

    Parameters
    ----------
    champion
        The champion that the gateway read from its ledger; "" for none.
    serving
        The version that responds to requests; "" while none does.
    load_errors
        Why versions are not loaded, by version.
    revision
        The ledger's revision that the gateway follows.
    on_demand
        Whether the champion is not in memory, and is loaded with the next request.
    """

    champion: str = ""
    serving: str = ""
    load_errors: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0
    on_demand: bool = False

    @classmethod
    def from_status(cls, status: Mapping[str, Any]) -> Self:
        """Read one entry of the gateway's ``/models``, of this release or of 0.1."""
        loaded = (status.get("loaded") or {}).get("champion") or ""
        return cls(
            champion=(status.get("champion") or {}).get("version") or "",
            serving=str(status.get("fallback") or loaded) if status.get("ready", bool(loaded)) else "",
            load_errors=dict(status.get("load_errors") or {}),
            revision=int(status.get("revision") or 0),
            on_demand=bool(status.get("on_demand")),
        )


@dataclass(frozen=True, slots=True)
class Served:
    """What is served, as a word and as a sentence without its full stop."""

    state: ServedState
    sentence: str

    def to_json(self) -> dict[str, str]:
        """Return plain JSON."""
        return {"state": str(self.state), "sentence": self.sentence}


def describe_served(traffic: Traffic, gateway: GatewayView | str) -> Served:
    """Return what is served.

    Parameters
    ----------
    traffic
        The ledger's state.
    gateway
        What a gateway reports, or why that is not known.
    """
    champion = traffic.champion.version if traffic.champion else ""
    if isinstance(gateway, GatewayView) and gateway.serving and gateway.champion != champion:
        named = f"version {champion}" if champion else "no champion"
        return Served(
            ServedState.OTHER_LEDGER,
            f"the gateway serves version {gateway.serving}, the ledger names {named}",
        )
    return _champion(champion, gateway) if champion else _without_champion(traffic, gateway)


def _champion(version: str, gateway: GatewayView | str) -> Served:
    if isinstance(gateway, str):
        return Served(ServedState.UNKNOWN, f"version {version} is champion; {gateway}")
    if gateway.serving == version:
        return Served(ServedState.SERVED, f"version {version} is champion and serves")
    if gateway.on_demand and not gateway.serving:
        return Served(
            ServedState.ON_DEMAND, f"version {version} is champion; the next request loads it into memory"
        )
    why = _not_loaded(version, gateway)
    if gateway.serving:
        instead = f"version {gateway.serving} serves in place of {version}"
        return Served(ServedState.FALLBACK, f"{instead}, which {why}")
    return Served(
        ServedState.NOT_LOADED, f"version {version} is champion but {why}; requests fail with status 503"
    )


def _without_champion(traffic: Traffic, gateway: GatewayView | str) -> Served:
    rollout = traffic.rollout
    if rollout is None or rollout.phase is Phase.SUPERSEDED:
        retrain = f"homeostat retrain {traffic.model}, or start retrain__{traffic.model} in Airflow"
        return Served(ServedState.NO_VERSION, f"no champion yet: {retrain}")
    version = rollout.candidate.version
    if rollout.phase is Phase.WAITING:
        approve = f"homeostat promote {traffic.model}"
        return Served(
            ServedState.WAITS_FOR_APPROVAL,
            f"no version serves yet: version {version} waits for approval ({approve})",
        )
    if rollout.phase is Phase.REGISTERED:
        return _registered(rollout, gateway)
    reason = rollout.reason.strip(" .")
    return Served(ServedState.REFUSED, f"no version serves: version {version} was refused: {reason}")


def _registered(rollout: Rollout, gateway: GatewayView | str) -> Served:
    version = rollout.candidate.version
    if isinstance(gateway, str):
        return Served(
            ServedState.UNKNOWN,
            f"version {version} is registered; no gateway has loaded it yet: {gateway}",
        )
    return Served(ServedState.LOADING, f"version {version} is registered and {_not_loaded(version, gateway)}")


def _not_loaded(version: str, gateway: GatewayView) -> str:
    error = gateway.load_errors.get(version)
    return f"is not loaded: {error.strip(' .')}. The gateway tries again" if error else "is being loaded"
