"""The gateway: in reach, healthy, and serving the champions that the ledger names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from homeostat.config.errors import ConfigError, Unavailable
from homeostat.doctor.check import Finding, NotLookedAt, broken, ok, skipped, warning
from homeostat.doctor.http_probe import Answer, get
from homeostat.doctor.ledger import books_of

if TYPE_CHECKING:
    from homeostat.config import ModelConfig, Settings
    from homeostat.doctor.deployment import Deployment


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the gateway says of itself. ``models`` is None where it does not tell us."""

    health: dict[str, Any]
    models: dict[str, dict[str, Any]] | None
    offset: timedelta | None


def reach(settings: Settings) -> Gateway:
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
    return Gateway(said, by_name, health.offset)


def _json(answer: Answer) -> dict[str, Any] | None:
    try:
        found = answer.response.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def look(deployment: Deployment) -> Finding:
    """In reach, and without troubles."""
    try:
        health = deployment.gateway.get().health
    except Unavailable as error:
        cure = "start it (`homeostat gateway`, `homeostat up`), or set HOMEOSTAT_GATEWAY to where it is"
        served = [model.name for model in deployment.models if model.serve == "gateway"]
        return broken(str(error), cure) if served else skipped(f"{error}; no model is served by one")
    except ConfigError as error:
        return broken(str(error), "write HOMEOSTAT_GATEWAY as http://host:port")
    troubles = health.get("troubles") or []
    if health["status"] == "ok":
        return ok("answers, and has no troubles")
    sentence = f"{health['status']}: {'; '.join(troubles) or 'it does not tell us why'}"
    cure = "it answers requests all the same; the sentence names what is away"
    return warning(sentence, cure) if health["status"] == "degraded" else broken(sentence, cure)


def look_at_version(deployment: Deployment, model: ModelConfig) -> Finding:
    """What serves is what the ledger says."""
    if model.serve != "gateway":
        return skipped("served by no gateway, as its model.yaml says")
    champion = books_of(deployment).traffic(model.name).champion
    listed = deployment.gateway.needed().models
    if listed is None:
        msg = "the gateway shows its models only to who has a token: set HOMEOSTAT_CONTROL_TOKEN"
        raise NotLookedAt(msg)
    wanted = champion.version if champion is not None else None
    if model.name in listed:
        return _judge(listed[model.name], wanted)
    cure = "start the gateway anew: it reads model.yaml when it starts"
    if wanted is None:
        return warning("no champion yet, and the gateway does not know this model", cure)
    return broken("the gateway does not know this model", cure)


def _judge(shown: dict[str, Any], wanted: str | None) -> Finding:
    serves = (shown.get("loaded") or {}).get("champion")
    if serves == wanted:
        return ok(f"version {serves} serves, as the ledger says") if serves else skipped("no champion yet")
    if serves is None:
        why = (shown.get("load_errors") or {}).get(wanted) or shown.get("sentence") or "no reason given"
        return broken(
            f"version {wanted} is champion, and nothing is loaded: {why}",
            "the gateway tries again by itself; see that it reaches the store and MLflow",
        )
    return broken(
        f"version {serves} serves, and the ledger says {f'version {wanted}' if wanted else 'nobody'}",
        "see that gateway and command line have the same HOMEOSTAT_LEDGER, and what /health says",
    )
