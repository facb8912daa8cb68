"""Airflow: its health if AIRFLOW__API__BASE_URL is set, otherwise its last recorded drift check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.config.errors import ConfigError, HomeostatError, Unavailable
from homeostat.doctor.check import Finding, Skipped, broken, format_span, ok, skipped, warning
from homeostat.doctor.check_freshness import newest_window
from homeostat.doctor.http_probe import get

if TYPE_CHECKING:
    from homeostat.doctor.deployment import Deployment

VARIABLE = "AIRFLOW__API__BASE_URL"
_COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


def address(deployment: Deployment) -> str:
    """Return Airflow's address; empty where neither the variable nor a running platform gives it."""
    return deployment.env.get(VARIABLE, "").rstrip("/") or deployment.settings.airflow


def check_airflow(deployment: Deployment) -> Finding:
    """Check the health of Airflow's components; without its address, report its last drift check."""
    url = address(deployment)
    if not url:
        return skipped(f"{VARIABLE} is not set; {_last_check(deployment)}")
    response = get(f"{url}/api/v2/monitor/health", "Airflow", VARIABLE)
    try:
        health = response.response.json()
        states = {name: str((health.get(name) or {}).get("status")) for name in _COMPONENTS}
    except (ValueError, AttributeError):
        msg = f"the server at {VARIABLE} is not Airflow 3: HTTP {response.status} {response.text[:60]!r}"
        raise Unavailable(msg) from None
    unhealthy = {name: state for name, state in states.items() if state != "healthy"}
    if not unhealthy:
        return ok("database, scheduler, DAG processor and triggerer are healthy")
    sentence = ", ".join(f"{name}: {state}" for name, state in unhealthy.items())
    if set(unhealthy) == {"triggerer"} and not deployment.settings.triggers:
        return warning(sentence, "restart the triggerer: canaries and approvals wait in it")
    remedy = "restart these components and read their logs"
    if "triggerer" in unhealthy and deployment.settings.triggers:
        remedy += "; without the triggerer, retrain triggers from AWS are not received"
    return broken(sentence, remedy)


def _last_check(deployment: Deployment) -> str:
    """Return when Airflow last recorded a drift check, over all models."""
    newest = []
    for model in deployment.models:
        if model.monitor.runs_on != "airflow":
            continue
        try:
            found = newest_window(deployment, model)
        except Skipped as why:
            return f"its last drift check is unknown: {why}"
        except (ConfigError, HomeostatError):
            continue
        if found is not None:
            newest.append((found.window_end, model.name))
    if not newest:
        return "no drift check is recorded"
    end, name = max(newest)
    return f"its last recorded drift check was {format_span(deployment.now() - end)} ago, of {name}"
