"""Airflow: asked itself where its address is known, else judged by what it has left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.config.errors import ConfigError, HomeostatError, Unavailable
from homeostat.doctor.check import Finding, Skipped, broken, ok, skipped, span, warning
from homeostat.doctor.check_freshness import newest_of
from homeostat.doctor.http_probe import get

if TYPE_CHECKING:
    from homeostat.doctor.deployment import Deployment

VARIABLE = "AIRFLOW__API__BASE_URL"
_PARTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


def look(deployment: Deployment) -> Finding:
    """The health of its parts; without its address, the newest thing that it did."""
    url = deployment.env.get(VARIABLE, "").rstrip("/")
    if not url:
        return skipped(f"{VARIABLE} does not say where it is; {_traces(deployment)}")
    answer = get(f"{url}/api/v2/monitor/health", "Airflow", VARIABLE)
    try:
        parts = answer.response.json()
        states = {name: str((parts.get(name) or {}).get("status")) for name in _PARTS}
    except (ValueError, AttributeError):
        msg = f"what answers at {VARIABLE} is no Airflow 3: {answer.status} {answer.text[:60]!r}"
        raise Unavailable(msg) from None
    ill = {name: state for name, state in states.items() if state != "healthy"}
    if not ill:
        return ok("database, scheduler, DAG processor and triggerer are healthy")
    sentence = ", ".join(f"{name}: {state}" for name, state in ill.items())
    cure = "start it anew, and read its log; without the triggerer no trigger from AWS is heard"
    if set(ill) == {"triggerer"} and not deployment.settings.triggers:
        return warning(sentence, "start it anew: canaries and approvals wait in it")
    return broken(sentence, cure)


def _traces(deployment: Deployment) -> str:
    """When a check of Airflow's was recorded last, over all models."""
    newest = []
    for model in deployment.models:
        if model.monitor.runs_on != "airflow":
            continue
        try:
            found = newest_of(deployment, model)
        except Skipped as why:
            return f"{why}, so that its last check is not known either"
        except (ConfigError, HomeostatError):
            continue
        if found is not None:
            newest.append((found.window_end, model.name))
    if not newest:
        return "no check of it is on record"
    end, name = max(newest)
    return f"its last check on record, of {name}, is of {span(deployment.now() - end)} ago"
