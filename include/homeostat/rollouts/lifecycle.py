"""The rollout of a retrain: begin it, report its status, finalize it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound, Superseded
from homeostat.core.rollout import (
    SHADOW,
    EventKind,
    LabelFacts,
    Phase,
    Plan,
    Rollout,
    Tally,
    Traffic,
    Transition,
    VersionRef,
    begin,
    describe_phase,
)
from homeostat.ports import Ledger, Notice, NoticeKind, Ports
from homeostat.rollouts.alias_sync import sync_aliases
from homeostat.rollouts.approval_notice import notify_waiting_approval
from homeostat.rollouts.manual import request_change
from homeostat.rollouts.refusal_notice import (
    explain_command,
    notify_end,
    notify_refused,
    rolled_back_once,
)
from homeostat.rollouts.version_changes import rollout_end
from homeostat.storage.retrain_outcome import (
    Outcome,
    RefusalStage,
    RetrainOutcome,
    find_outcome,
    record_outcome,
)
from homeostat.storage.retrain_request import load_request
from homeostat.storage.retrain_trace import retrain_traceparent, traced_step
from homeostat.storage.step_results import find_result, load_result, save_result

#: A retrain holds its lease for this much longer than its rollout takes; then another may start.
SLACK = timedelta(hours=12)
#: The step under which the result of :func:`finalize` is stored, and what release 0.1 called it.
_FINALIZE, _OLD_FINALIZE = "finalize", "settle"


def lease_duration(config: ModelConfig) -> timedelta:
    """Return how long a retrain may hold its lease: its rollout, and some hours more."""
    rollout = config.shadow.duration + config.canary.step_duration * len(config.canary.steps)
    return SLACK + 2 * rollout  # twice, since a phase may be extended once


def begin_rollout(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Begin the rollout of this retrain's registered version in the ledger; done once per run key."""
    request = load_request(ports.store, config.name, run_key)
    version = load_result(ports.store, config.name, run_key, "register")
    candidate = VersionRef(version["version"], version["digest"])
    scores = find_result(ports.store, config.name, run_key, "validate") or {}
    labels = LabelFacts.from_json(scores.get("labels") or {})
    slowdown = max(1.0, (scores.get("candidate") or {}).get("members_ratio") or 1.0)
    plan = Plan.of(config, approval=version["forced"], labels=labels, slowdown=slowdown)
    now = ports.clock.now()
    expected = {
        (stage, SHADOW): Tally.from_json(tally) for stage, tally in (scores.get("divergence") or {}).items()
    }
    ports.ledger.replace_evidence(config.name, run_key, "validate", expected)

    traceparent = retrain_traceparent(ports, config.name, run_key)

    def start(traffic: Traffic) -> Transition:
        step = begin(
            traffic,
            candidate,
            run_key,
            plan,
            now,
            skip_shadow=request.skip_shadow,
            forced=version["forced"],
            serve=config.serve == "gateway",
        )
        rollout = step.traffic.rollout
        if not traceparent or rollout is None or step.kind is EventKind.UNCHANGED:
            return step
        traced = replace(step.traffic, rollout=replace(rollout, traceparent=traceparent))
        return replace(step, traffic=traced)

    request_change(config.name, ports.ledger, start, by=f"retrain {run_key}", at=now, tracer=ports.tracer)
    return rollout_status(config, run_key, ports)


def rollout_status(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Return the phase of this retrain's rollout, with one sentence, as plain JSON.

    ``outcome`` and ``stage`` are those of :class:`~homeostat.storage.retrain_outcome.Outcome`, "" while the
    rollout is under way. Notifies the first time that the version is seen waiting for approval.
    """
    traffic = ports.ledger.read(config.name)
    notify_waiting_approval(config, ports, traffic)
    rollout = traffic.rollout
    if rollout is None or rollout.id != run_key:
        rollout = _last_recorded(config.name, run_key, ports.ledger)
    name = f"{config.name} version {rollout.candidate.version}"
    why = f" {rollout.reason}" if rollout.reason else ""
    end = None if rollout.phase.active else rollout_end(ports.ledger.events(config.name), run_key)
    return {
        "phase": str(rollout.phase),
        "step": rollout.step,
        "share": rollout.share,
        "version": rollout.candidate.version,
        "reason": rollout.reason,
        "outcome": str(end.outcome) if end else "",
        "stage": str(end.stage) if end else "",
        "inconclusive": bool(end and end.inconclusive),
        "sentence": end.sentence if end else f"{name}: {describe_phase(rollout, traffic.previous)}{why}",
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
    """End a retrain: record its outcome, sync MLflow with the ledger, notify, release the lease.

    Returns :func:`rollout_status`, or for a retrain that ended before its rollout the outcome as plain JSON.

    Raises
    ------
    Superseded
        The retrain registered no version and has no outcome: there is nothing to finalize.
    """
    with traced_step(ports, config.name, run_key, "finalize") as record:
        result = _finalize(config, run_key, ports)
        record(result)
    return result


def _finalize(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    if find_result(ports.store, config.name, run_key, "register") is None:
        return _ended_before_rollout(config, run_key, ports)
    if config.serve == "none":
        begin_rollout(config, run_key, ports)
    status = rollout_status(config, run_key, ports)
    before = _finalized(config, run_key, ports)
    if status["outcome"]:  # first: it must be known even when MLflow does not respond now
        record_outcome(ports, config.name, run_key, Outcome.from_json(status))
    sync_aliases(config, ports)
    ports.ledger.release_lease(config.name, run_key)
    if status["outcome"] and (before is None or before["phase"] != status["phase"]):
        _notify_end(config, ports, run_key, status)
    return save_result(ports.store, config.name, run_key, _FINALIZE, status)


def _ended_before_rollout(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Return the outcome of a retrain that the gate refused, or that did not get the lease."""
    outcome = find_outcome(ports.store, config.name, run_key)
    if outcome is None:
        gate = find_result(ports.store, config.name, run_key, "gate")
        if gate is None or gate["proceeds"]:
            msg = f"retrain {run_key} of {config.name} registered no version: there is nothing to finalize"
            raise Superseded(msg)
        # The gate of an earlier release refused it, and recorded no outcome.
        outcome = Outcome(RetrainOutcome.REFUSED, RefusalStage.GATE, gate["sentence"])
        outcome = record_outcome(ports, config.name, run_key, outcome)
    started = find_result(ports.store, config.name, run_key, "assemble")
    url = ports.registry.url(run_id=started["run_id"]) if started else ""
    return {**outcome.to_json(), "url": url}


def _notify_end(config: ModelConfig, ports: Ports, run_key: str, status: Mapping[str, Any]) -> None:
    what = f"version {status['version']}"
    if status["phase"] == Phase.ROLLED_BACK and status["outcome"] == RetrainOutcome.REFUSED:
        notify_refused(config, ports, run_key, what, status["stage"], status["sentence"])
        return
    kinds = {Phase.CHAMPION: NoticeKind.PROMOTED, Phase.SUPERSEDED: NoticeKind.SUPERSEDED}
    kind = kinds.get(Phase(status["phase"]), NoticeKind.ROLLED_BACK)
    body = status["reason"] if kind is NoticeKind.ROLLED_BACK else status["sentence"]
    title = f"{config.name}: {what} {_TITLES.get(kind, status['phase'].replace('_', ' '))}"
    once = rolled_back_once(run_key) if kind is NoticeKind.ROLLED_BACK else ""
    action = f"Nothing. Why: {explain_command(config, run_key)}"
    links = (("MLflow", status["url"]),)
    notice = Notice(kind, config.name, title, body, action, links=links, once=once)
    notify_end(config, ports, run_key, notice)


_TITLES = {NoticeKind.PROMOTED: "is champion", NoticeKind.SUPERSEDED: "was superseded"}


def _finalized(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any] | None:
    """Return the result of an earlier run of :func:`finalize`, of this release or of 0.1."""
    found = find_result(ports.store, config.name, run_key, _FINALIZE)
    return found or find_result(ports.store, config.name, run_key, _OLD_FINALIZE)
