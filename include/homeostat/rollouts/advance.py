"""From a registered version to traffic: begin, tick, look, settle, and what a person does by hand.

Every change is decided purely, written to the ledger by compare-and-swap, and only then takes effect: the
gateways follow the ledger. Losing the race means reading again and deciding again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound, Refused, StaleRevision
from homeostat.core.rollout import (
    SENTENCES,
    Phase,
    Plan,
    Rollout,
    Traffic,
    Transition,
    VersionRef,
    approve,
    begin,
    decide,
    epochs,
    evidence_json,
    promote,
    roll_back,
)
from homeostat.core.rollout.evidence import CHAMPION, Evidence, Tally
from homeostat.ports import Ledger, Notice, Ports
from homeostat.rollouts.alias_sync import mirror
from homeostat.rollouts.approval_notice import tell_who_waits
from homeostat.rollouts.ledger_cas import Decided, swap
from homeostat.storage.retrain_request import find_result, load_request, load_result, save_result

#: How long the gateways have for loading a candidate before time goes on without them.
WARM_UP = timedelta(minutes=2)


def change(
    model: str, ledger: Ledger, decision: Callable[[Traffic], Transition], *, by: str, at: datetime
) -> Traffic:
    """Make a change that was asked for; raises StaleRevision when others keep getting in between."""
    return swap(model, ledger, lambda traffic: (decision(traffic), {}), by=by, now=lambda: at).traffic


def begin_rollout(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Enter the registered version of this retrain into the ledger; done once per run key."""
    request = load_request(ports.store, config.name, run_key)
    version = load_result(ports.store, config.name, run_key, "register")
    candidate = VersionRef(version["version"], version["digest"])
    plan = Plan.of(config, approval=version["forced"])

    def decision(traffic: Traffic) -> Transition:
        return begin(
            traffic,
            candidate,
            run_key,
            plan,
            ports.clock.now(),
            skip_shadow=request.skip_shadow,
            forced=version["forced"],
            serve=config.serve == "gateway",
        )

    change(config.name, ports.ledger, decision, by=f"retrain {run_key}", at=ports.clock.now())
    return look(config, run_key, ports)


def look(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Where this retrain's rollout stands, in one sentence and in plain JSON.

    A version that waits for approval is told of the first time that it is seen.
    """
    traffic = ports.ledger.read(config.name)
    tell_who_waits(config, ports, traffic)
    rollout = traffic.rollout
    if rollout is None or rollout.id != run_key:
        rollout = _last_known(config.name, run_key, ports.ledger)
    name = f"{config.name} version {rollout.candidate.version}"
    why = f" {rollout.reason}" if rollout.reason else ""
    return {
        "phase": str(rollout.phase),
        "step": rollout.step,
        "share": rollout.share,
        "version": rollout.candidate.version,
        "reason": rollout.reason,
        "sentence": f"{name}: {SENTENCES[rollout.phase]}{why}",
        "url": ports.registry.url(model=config.name, version=rollout.candidate.version),
    }


def _last_known(model: str, run_key: str, ledger: Ledger) -> Rollout:
    for event in reversed(ledger.events(model)):
        rollout = Traffic.from_json(dict(event.traffic)).rollout
        if rollout is not None and rollout.id == run_key:
            # Another rollout has taken its place in the ledger without its end being written.
            if not rollout.phase.active:
                return rollout
            return replace(rollout, phase=Phase.SUPERSEDED, reason="a newer candidate took its place")
    msg = f"{model}: no rollout of retrain {run_key} in the ledger"
    raise NotFound(msg)


def tick(model: str, ledger: Ledger, *, by: str, now: datetime | None = None) -> Traffic:
    """Let time and evidence work on the active rollout; safe to call from anywhere, as often as one likes.

    A candidate that has just been registered is left to the gateways for :data:`WARM_UP`: they begin its
    shadow once it is loaded. This tick is for the case that no gateway is alive.
    """
    at = now or datetime.now(UTC)

    def decision(traffic: Traffic) -> Decided:
        rollout = traffic.active
        if rollout is None or (rollout.phase is Phase.REGISTERED and at - rollout.entered_at < WARM_UP):
            return None
        tallies = ledger.evidence(model, rollout.id)
        decided = decide(traffic, tallies, at)
        if decided.transition is None:
            return None
        checks = [check.to_json() for check in decided.checks]
        return decided.transition, {"checks": checks, "tallies": evidence_json(tallies)}

    try:
        return swap(model, ledger, decision, by=by, now=lambda: at).traffic
    except StaleRevision:
        return ledger.read(model)  # whoever got in between has ticked as well


def champion_evidence(model: str, ledger: Ledger, traffic: Traffic, now: datetime) -> Evidence:
    """What the champion did in this hour and this day, as :func:`homeostat.core.rollout.watch` reads it."""
    if traffic.rollout is None:
        return {}
    kept, own = traffic.rollout.id, (str(Phase.CHAMPION), CHAMPION)
    return {
        (name, CHAMPION): ledger.evidence(model, kept, since).get(own, Tally())
        for name, since in epochs(traffic, now).items()
    }


def settle(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """End a retrain: mirror the ledger into MLflow, tell people, give the right of way back."""
    if find_result(ports.store, config.name, run_key, "register") and config.serve == "none":
        begin_rollout(config, run_key, ports)
    state = look(config, run_key, ports)
    done = find_result(ports.store, config.name, run_key, "settle")
    mirror(config, ports)
    ports.registry.tag(
        config.name,
        state["version"],
        {"homeostat.phase": state["phase"], **_why(state)},
    )
    ports.ledger.release(config.name, run_key)
    if done is None or done["phase"] != state["phase"]:
        kind = "promoted" if state["phase"] == Phase.CHAMPION else "rolled_back"
        title = f"{config.name}: version {state['version']} {state['phase'].replace('_', ' ')}"
        ports.notifier.notify(config.notify, Notice(kind, config.name, title, state["sentence"]))
    return save_result(ports.store, config.name, run_key, "settle", state)


def _why(state: Mapping[str, Any]) -> dict[str, str]:
    """Why a version is where it is, where somebody will ask; a champion's reason goes without saying."""
    return {} if state["phase"] == Phase.CHAMPION else {"homeostat.phase_reason": state["reason"] or "-"}


def roll_back_in_ledger(model: str, ledger: Ledger, *, reason: str, by: str, at: datetime) -> Traffic:
    """End the active rollout, or else put the previous version back; NoPrevious when there is none.

    Needs the ledger alone: a person must be able to do this with everything else down.
    """
    return change(model, ledger, lambda traffic: roll_back(traffic, reason, at), by=by, at=at)


def approve_by_hand(config: ModelConfig, ports: Ports, *, by: str) -> Traffic:
    """Approve the candidate that waits; Refused when none does."""
    now = ports.clock.now()
    return change(config.name, ports.ledger, lambda t: approve(t, now), by=by, at=now)


def promote_by_hand(config: ModelConfig, ports: Ports, version: str, *, by: str, reason: str) -> Traffic:
    """Make a registered version champion; Refused unless it passed its gate."""
    found = ports.registry.version(config.name, version)
    if found.tags.get("homeostat.gate") != "passed":
        msg = (
            f"version {version} of {config.name} never passed its gate; retrain, or force it through a canary"
        )
        raise Refused(msg)
    now = ports.clock.now()
    ref = VersionRef(version, found.digest)
    return change(config.name, ports.ledger, lambda t: promote(t, ref, now, reason), by=by, at=now)
