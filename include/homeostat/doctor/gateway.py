"""The gateway: reachable, healthy, and serving the champions that the ledger names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from homeostat.config.errors import ConfigError, Unavailable
from homeostat.doctor.check import Finding, Skipped, broken, ok, skipped, warning
from homeostat.doctor.ledger import ledger_or_skip

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.doctor.deployment import Deployment


def check_gateway(deployment: Deployment) -> Finding:
    """Check that the gateway responds and reports no problems."""
    try:
        health = deployment.gateway.get().health
    except Unavailable as error:
        if not any(model.serve == "gateway" for model in deployment.models):
            return skipped(f"{error}; no model has serve: gateway")
        return broken(
            str(error),
            "start it (`homeostat gateway`, or `homeostat up` for all services), or set HOMEOSTAT_GATEWAY to "
            "its address",
        )
    except ConfigError as error:
        return broken(str(error), "set HOMEOSTAT_GATEWAY to http://host:port")
    problems = health.get("problems") or []
    if health["status"] == "ok":
        return ok("responds and reports no problems")
    sentence = f"{health['status']}: {'; '.join(problems) or 'no details without HOMEOSTAT_CONTROL_TOKEN'}"
    if health["status"] == "degraded":
        return warning(sentence, "fix the problems named here; the gateway still serves predictions")
    return broken(sentence, "fix the problems named here, and read the gateway's log")


def check_served_version(deployment: Deployment, model: ModelConfig) -> Finding:
    """Check that the gateway serves the version that the ledger names."""
    if model.serve != "gateway":
        return skipped("not served by a gateway: model.yaml has serve: none")
    champion = ledger_or_skip(deployment).traffic(model.name).champion
    listed = deployment.gateway.get_or_skip().models
    if listed is None:
        msg = "the gateway lists its models only with a valid token: set HOMEOSTAT_CONTROL_TOKEN"
        raise Skipped(msg)
    expected = champion.version if champion is not None else None
    if model.name in listed:
        return _compare_served(listed[model.name], expected)
    remedy = "restart the gateway: it reads model.yaml files when it starts"
    if expected is None:
        return warning("no champion yet, and the gateway does not know this model", remedy)
    return broken("the gateway does not know this model", remedy)


def _compare_served(shown: dict[str, Any], expected: str | None) -> Finding:
    served = (shown.get("loaded") or {}).get("champion")
    if served == expected:
        return ok(f"serves version {served}, as in the ledger") if served else skipped("no champion yet")
    if served is None:
        why = (shown.get("load_errors") or {}).get(expected) or shown.get("sentence") or "no reason given"
        return broken(
            f"champion version {expected} is not loaded: {why}",
            "the gateway keeps retrying; check that it can reach the store and MLflow",
        )
    named = f"version {expected}" if expected else "no champion"
    return broken(
        f"the gateway serves version {served}, the ledger names {named}",
        "set the same HOMEOSTAT_LEDGER for the gateway and this command, and read the gateway's /health",
    )
