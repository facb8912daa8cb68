"""What the gateway shows of itself: plain JSON for ``/health``, ``/models`` and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from homeostat.config.errors import HomeostatError
from homeostat.core.rollout.phases import SENTENCES
from homeostat.serving.inference.engine import nothing_loaded

if TYPE_CHECKING:
    from homeostat.serving.inference.routing import ModelState
    from homeostat.serving.runtime import Runtime


def health_of(runtime: Runtime) -> dict[str, Any]:
    """``ok``, or ``degraded`` with the reasons when something is away and answers are given all the same."""
    troubles = []
    if runtime.controller.ledger_error:
        troubles.append(
            f"the ledger does not answer, the last known routing serves: {runtime.controller.ledger_error}"
        )
    if runtime.log_error:
        troubles.append(runtime.log_error)
    waiting = []
    for name, state in runtime.states.items():
        table = state.table
        if table.champion is None:
            waiting.append(name)
        elif table.stand_in:
            wanted = table.traffic.champion.version if table.traffic.champion else "none"
            troubles.append(f"{name}: version {table.stand_in} serves in place of {wanted}")
        troubles += [
            f"{name}: version {ref.version} is not loaded: {said}"
            for ref, (said, _) in dict(state.failures).items()
        ]
    status = "degraded" if troubles else "ok"
    return {"status": status, "troubles": troubles, "without_champion": waiting}


def describe(runtime: Runtime, state: ModelState) -> dict[str, Any]:
    """One model: what the ledger says, what is loaded, and what was counted here."""
    table = state.table
    traffic = table.traffic
    rollout = traffic.rollout
    raw = traffic.to_json()
    name = state.config.name
    loaded = {
        role: leg.ref.version
        for role, leg in (
            ("champion", table.champion),
            ("candidate", table.candidate),
            ("previous", table.previous),
        )
        if leg is not None
    }
    phase = str(rollout.phase) if rollout is not None else None
    sentence = SENTENCES[rollout.phase] if rollout is not None else nothing_loaded(table)
    return raw | {
        "name": name,
        "task": state.config.task,
        "phase": phase,
        "sentence": sentence,
        "reason": rollout.reason if rollout is not None else "",
        "share": traffic.active.share if traffic.active is not None else 0.0,
        "ready": table.champion is not None,
        "loaded": loaded,
        "stand_in": table.stand_in or None,
        "checks": list(state.checks),
        "shadow": None
        if table.shadow is None
        else {"waiting_rows": table.shadow.waiting_rows, "ready": table.shadow.ready.is_set()},
        "load_errors": {ref.version: said for ref, (said, _) in dict(state.failures).items()},
        "counters": runtime.counters(name),
        "log": runtime.logs.of_model(name),
    }


def events_of(runtime: Runtime, model: str, last: int) -> list[dict[str, Any]]:
    """The newest events of a model's ledger, newest first; [] while the ledger is away."""
    state = runtime.state(model)
    try:
        events = runtime.ports.ledger.events(model, max(0, state.table.traffic.revision - last))
    except HomeostatError:
        return []
    return [
        {"revision": e.revision, "at": e.at.isoformat(), "kind": e.kind, "reason": e.reason, "by": e.by}
        for e in reversed(events[-last:])
    ]
