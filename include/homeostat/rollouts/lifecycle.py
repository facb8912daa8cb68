"""The rollout of a retrain: begin it, report its status, finalize it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound
from homeostat.core.rollout import (
    PHASE_SENTENCES,
    Phase,
    Plan,
    Rollout,
    Traffic,
    Transition,
    VersionRef,
    begin,
)
from homeostat.ports import Ledger, Notice, NoticeKind, Ports
from homeostat.rollouts.alias_sync import sync_aliases
from homeostat.rollouts.approval_notice import notify_waiting_approval
from homeostat.rollouts.manual import request_change
from homeostat.storage.retrain_request import load_request
from homeostat.storage.step_results import find_result, load_result, save_result

#: The step under which the result of :func:`finalize` is stored, and what release 0.1 called it.
_FINALIZE, _OLD_FINALIZE = "finalize", "settle"


def begin_rollout(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Begin the rollout of this retrain's registered version in the ledger; done once per run key."""
    request = load_request(ports.store, config.name, run_key)
    version = load_result(ports.store, config.name, run_key, "register")
    candidate = VersionRef(version["version"], version["digest"])
    plan = Plan.of(config, approval=version["forced"])
    now = ports.clock.now()

    def start(traffic: Traffic) -> Transition:
        return begin(
            traffic,
            candidate,
            run_key,
            plan,
            now,
            skip_shadow=request.skip_shadow,
            forced=version["forced"],
            serve=config.serve == "gateway",
        )

    request_change(config.name, ports.ledger, start, by=f"retrain {run_key}", at=now)
    return rollout_status(config, run_key, ports)


def rollout_status(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Return the phase of this retrain's rollout, with one sentence, as plain JSON.

    Notifies the first time that the version is seen waiting for approval.
    """
    traffic = ports.ledger.read(config.name)
    notify_waiting_approval(config, ports, traffic)
    rollout = traffic.rollout
    if rollout is None or rollout.id != run_key:
        rollout = _last_recorded(config.name, run_key, ports.ledger)
    name = f"{config.name} version {rollout.candidate.version}"
    why = f" {rollout.reason}" if rollout.reason else ""
    return {
        "phase": str(rollout.phase),
        "step": rollout.step,
        "share": rollout.share,
        "version": rollout.candidate.version,
        "reason": rollout.reason,
        "sentence": f"{name}: {PHASE_SENTENCES[rollout.phase]}{why}",
        "url": ports.registry.url(model=config.name, version=rollout.candidate.version),
    }


def _last_recorded(model: str, run_key: str, ledger: Ledger) -> Rollout:
    for event in reversed(ledger.events(model)):
        rollout = Traffic.from_json(dict(event.traffic)).rollout
        if rollout is not None and rollout.id == run_key:
            # Another rollout superseded it in the ledger, which did not record its end.
            if not rollout.phase.active:
                return rollout
            return replace(rollout, phase=Phase.SUPERSEDED, reason="a newer candidate took its place")
    msg = f"{model}: no rollout of retrain {run_key} in the ledger"
    raise NotFound(msg)


def finalize(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """End a retrain: sync MLflow's aliases with the ledger, notify, release the lease."""
    if find_result(ports.store, config.name, run_key, "register") and config.serve == "none":
        begin_rollout(config, run_key, ports)
    status = rollout_status(config, run_key, ports)
    before = _finalized(config, run_key, ports)
    sync_aliases(config, ports)
    ports.registry.tag(
        config.name,
        status["version"],
        {"homeostat.phase": status["phase"], **_phase_reason(status)},
    )
    ports.ledger.release_lease(config.name, run_key)
    if before is None or before["phase"] != status["phase"]:
        kind = NoticeKind.PROMOTED if status["phase"] == Phase.CHAMPION else NoticeKind.ROLLED_BACK
        title = f"{config.name}: version {status['version']} {status['phase'].replace('_', ' ')}"
        ports.notifier.notify(config.notify, Notice(kind, config.name, title, status["sentence"]))
    return save_result(ports.store, config.name, run_key, _FINALIZE, status)


def _finalized(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any] | None:
    """Return the result of an earlier run of :func:`finalize`, of this release or of 0.1."""
    found = find_result(ports.store, config.name, run_key, _FINALIZE)
    return found or find_result(ports.store, config.name, run_key, _OLD_FINALIZE)


def _phase_reason(status: Mapping[str, Any]) -> dict[str, str]:
    """Return the tag that says why a version is in its phase; a champion needs none."""
    return {} if status["phase"] == Phase.CHAMPION else {"homeostat.phase_reason": status["reason"] or "-"}
