"""The gateway: reachable, healthy, and serving the champions that the ledger names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.config.errors import ConfigError, Unavailable
from homeostat.core.rollout.served import GatewayView, Served, ServedState, describe_served
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
    traffic = ledger_or_skip(deployment).traffic(model.name)
    listed = deployment.gateway.get_or_skip().models
    if listed is None:
        msg = "the gateway lists its models only with a valid token: set HOMEOSTAT_CONTROL_TOKEN"
        raise Skipped(msg)
    if model.name in listed:
        view = GatewayView.from_status(listed[model.name])
        return _judge_served(describe_served(traffic, view), model.name, failing=bool(view.load_errors))
    remedy = "restart the gateway: it reads model.yaml files when it starts"
    if traffic.champion is None:
        return warning("no champion yet, and the gateway does not know this model", remedy)
    return broken("the gateway does not know this model", remedy)


def check_trusted_types(deployment: Deployment, model: ModelConfig) -> Finding:
    """Check that the gateway trusts the same types in the model's bundles as this machine."""
    if model.serve != "gateway":
        return skipped("not served by a gateway: model.yaml has serve: none")
    listed = deployment.gateway.get_or_skip().models
    there = (listed or {}).get(model.name, {}).get("trusted_types")
    if there is None:
        msg = "the gateway does not list its trusted types: it needs a valid HOMEOSTAT_CONTROL_TOKEN"
        raise Skipped(msg)
    here = {*deployment.settings.trusted_types, *model.trusted_types}
    differences = [
        f"{names} is trusted {where} only"
        for where, names in (
            ("here", ", ".join(sorted(here - set(there)))),
            ("by the gateway", ", ".join(sorted(set(there) - here))),
        )
        if names
    ]
    if not differences:
        return ok(
            f"the gateway trusts the same {len(here)} types beyond the built-in list"
            if here
            else "none added"
        )
    return warning(
        "; ".join(differences),
        f"set trusted_types of {model.name} (file of HOMEOSTAT_OVERRIDES) and HOMEOSTAT_TRUSTED_TYPES to the "
        "same here, in Airflow and on every gateway, and restart the gateways",
    )


_RETRIES = "the gateway keeps retrying; check that it can reach the store and MLflow"
_REMEDIES = {
    ServedState.REFUSED: "fix the cause named here, then: homeostat retrain {model}",
    ServedState.OTHER_LEDGER: "set the same HOMEOSTAT_LEDGER for the gateway and this command, and read the "
    "gateway's /health",
}


def _judge_served(served: Served, model: str, *, failing: bool) -> Finding:
    state = served.state
    fine = state in (ServedState.SERVED, ServedState.ON_DEMAND)
    if fine or (state is ServedState.LOADING and not failing):
        return ok(served.sentence)
    if state is ServedState.NO_VERSION:
        return skipped(served.sentence)
    if state is ServedState.WAITS_FOR_APPROVAL:
        return warning(served.sentence, f"approve it: homeostat promote {model}")
    return broken(served.sentence, _REMEDIES.get(state, _RETRIES).format(model=model))
