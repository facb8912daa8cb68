"""The gateway: in reach, healthy, and serving the champions that the ledger names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from homeostat.config.errors import ConfigError, Unavailable
from homeostat.doctor.check import Finding, Skipped, broken, ok, skipped, warning
from homeostat.doctor.ledger import ledger_of

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.doctor.deployment import Deployment


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
    problems = health.get("problems") or []
    if health["status"] == "ok":
        return ok("answers, and has no troubles")
    sentence = f"{health['status']}: {'; '.join(problems) or 'it does not tell us why'}"
    cure = "it answers requests all the same; the sentence names what is away"
    return warning(sentence, cure) if health["status"] == "degraded" else broken(sentence, cure)


def look_at_version(deployment: Deployment, model: ModelConfig) -> Finding:
    """What serves is what the ledger says."""
    if model.serve != "gateway":
        return skipped("served by no gateway, as its model.yaml says")
    champion = ledger_of(deployment).traffic(model.name).champion
    listed = deployment.gateway.needed().models
    if listed is None:
        msg = "the gateway shows its models only to who has a token: set HOMEOSTAT_CONTROL_TOKEN"
        raise Skipped(msg)
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
