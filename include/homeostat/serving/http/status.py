"""The status of the gateway as JSON data, for ``/health``, ``/models`` and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from homeostat.config.errors import HomeostatError
from homeostat.core.rollout.phases import PHASE_SENTENCES
from homeostat.serving.inference.failures import why_not_loaded

if TYPE_CHECKING:
    from homeostat.serving.inference.routing import ServedModel
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
        table = state.table
        if table.champion is None:
            without_champion.append(name)
        elif table.fallback:
            wanted = table.traffic.champion.version if table.traffic.champion else "none"
            problems.append(f"{name}: version {table.fallback} serves in place of {wanted}")
        problems += [
            f"{name}: version {ref.version} is not loaded: {error}"
            for ref, error in runtime.controller.load_failures(name).items()
        ]
    status = "degraded" if problems else "ok"
    return {"status": status, "problems": problems, "models_without_champion": without_champion}


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
    sentence = PHASE_SENTENCES[rollout.phase] if rollout is not None else why_not_loaded(table)
    return raw | {
        "name": name,
        "task": state.config.task,
        "phase": phase,
        "sentence": sentence,
        "reason": rollout.reason if rollout is not None else "",
        "share": traffic.active.share if traffic.active is not None else 0.0,
        "ready": table.champion is not None,
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
        "load_errors": {ref.version: error for ref, error in runtime.controller.load_failures(name).items()},
        "counters": runtime.counters(name),
        "log": runtime.logs.log_status(name),
    }


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
