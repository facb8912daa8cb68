"""The status of the gateway as JSON data, for ``/health``, ``/models`` and the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from homeostat.config.errors import HomeostatError
from homeostat.core.rollout.phase_text import describe_phase
from homeostat.core.rollout.phases import Traffic
from homeostat.core.rollout.served import GatewayView, ServedState, describe_served
from homeostat.serving.inference.failures import why_not_loaded

if TYPE_CHECKING:
    from homeostat.serving.inference.routing import RoutingTable, ServedModel
    from homeostat.serving.runtime import Runtime


def health_report(runtime: Runtime) -> dict[str, Any]:
    """Return ``ok``, or ``degraded`` with the problems. A degraded gateway still serves predictions."""
    problems = []
    if runtime.controller.ledger_error:
        problems.append(
            "the ledger is unavailable, the gateway serves with the last known routing: "
            f"{runtime.controller.ledger_error}"
        )
    if runtime.log_error:
        problems.append(runtime.log_error)
    without_champion = []
    for name, state in runtime.states.items():
        on_demand = runtime.on_demand(state)
        if state.table.champion is None and not on_demand:
            without_champion.append(name)
        problems += _serving_problems(name, state.table, _load_errors(runtime, name), on_demand=on_demand)
    status = "degraded" if problems else "ok"
    return {"status": status, "problems": problems, "models_without_champion": without_champion}


def _serving_problems(
    name: str, table: RoutingTable, errors: dict[str, str], *, on_demand: bool
) -> list[str]:
    """Return what is wrong with what a model serves, and why other versions are not loaded."""
    serving = table.champion.ref.version if table.champion is not None else ""
    champion = table.traffic.champion.version if table.traffic.champion is not None else ""
    served = describe_served(table.traffic, GatewayView(champion, serving, errors, on_demand=on_demand))
    failing = served.state in (ServedState.FALLBACK, ServedState.REFUSED)
    failing |= served.state in (ServedState.NOT_LOADED, ServedState.LOADING) and bool(errors)
    return ([f"{name}: {served.sentence}"] if failing else []) + [
        f"{name}: version {version} is not loaded: {error}"
        for version, error in errors.items()
        if error.strip(" .") not in served.sentence
    ]


def served_json(status: Mapping[str, Any]) -> dict[str, str]:
    """Return what is served, from a model's status."""
    return describe_served(Traffic.from_json(dict(status)), GatewayView.from_status(status)).to_json()


def model_status(runtime: Runtime, state: ServedModel) -> dict[str, Any]:
    """Return one model's traffic and rollout, its loaded versions, and this worker's counters."""
    table = state.table
    traffic = table.traffic
    rollout = traffic.rollout
    raw = traffic.to_json()
    name = state.config.name
    loaded = {
        role: version.ref.version
        for role, version in (
            ("champion", table.champion),
            ("candidate", table.candidate),
            ("previous", table.previous),
        )
        if version is not None
    }
    phase = str(rollout.phase) if rollout is not None else None
    on_demand = runtime.on_demand(state)
    sentence = describe_phase(rollout, traffic.previous) if rollout is not None else why_not_loaded(table)
    if rollout is None and on_demand:
        sentence = "The next request loads the champion into memory."
    status = raw | {
        "name": name,
        "task": state.config.task,
        "trusted_types": runtime.trusted_types(state.config),
        "phase": phase,
        "sentence": sentence,
        "reason": rollout.reason if rollout is not None else "",
        "share": traffic.active.share if traffic.active is not None else 0.0,
        "ready": table.champion is not None or on_demand,
        "on_demand": on_demand,
        "loaded": loaded,
        "fallback": table.fallback or None,
        "checks": runtime.controller.checks(name),
        "shadow": None
        if table.shadow is None
        else {
            "version": table.shadow.job.version,
            "waiting_rows": table.shadow.waiting_rows,
            "ready": table.shadow.ready.is_set(),
        },
        "load_errors": _load_errors(runtime, name),
        "counters": runtime.counters(name),
        "log": runtime.logs.log_status(name),
    }
    return status | {"served": served_json(status)}


def _load_errors(runtime: Runtime, model: str) -> dict[str, str]:
    return {ref.version: error for ref, error in runtime.controller.load_failures(model).items()}


def recent_events(runtime: Runtime, model: str, last: int) -> list[dict[str, Any]]:
    """Return a model's latest ledger events, newest first; [] while the ledger is unavailable."""
    state = runtime.state(model)
    try:
        events = runtime.ports.ledger.events(model, max(0, state.table.traffic.revision - last))
    except HomeostatError:
        return []
    return [
        {"revision": e.revision, "at": e.at.isoformat(), "kind": e.kind, "reason": e.reason, "by": e.by}
        for e in reversed(events[-last:])
    ]
