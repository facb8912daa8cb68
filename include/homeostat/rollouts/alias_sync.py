"""Sync MLflow's aliases with the ledger; a ``champion`` moved in MLflow's UI is a request for promotion."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound, StaleRevision
from homeostat.core.rollout import Traffic, VersionRef, promote
from homeostat.core.rollout.transitions import previous_was_rolled_back
from homeostat.ports import Notice, NoticeKind, Ports
from homeostat.rollouts.approval_notice import notify_waiting_approval
from homeostat.rollouts.gate_check import passed_gate


def sync_aliases(config: ModelConfig, ports: Ports) -> dict[str, Any]:
    """Set ``champion``, ``previous`` and ``candidate`` as the ledger says; return what was done.

    A ``champion`` alias that differs from both the ledger and the last sync was moved by a person and
    requests a promotion: it is made when that version passed its gate, otherwise the alias is reset and a
    notice sent. An alias that is where the last sync left it is only out of date (a crash between two writes,
    MLflow away) and is repaired.
    """
    traffic = ports.ledger.read(config.name)
    aliases = ports.registry.aliases(config.name)
    requested = aliases.get("champion")
    done: dict[str, Any] = {}
    last = _last_synced(config, ports)
    if requested is not None and last is not None and requested not in (last, _number(traffic.champion)):
        traffic, done["requested_promotion"] = _promote_requested(config, ports, traffic, requested)
    wanted = {
        "champion": _number(traffic.champion),
        "previous": _number(traffic.previous),
        "candidate": traffic.active.candidate.version if traffic.active else None,
    }
    for alias, version in wanted.items():
        if aliases.get(alias) == version:
            continue
        try:
            ports.registry.set_alias(config.name, alias, version)
        except NotFound:
            done[alias] = f"version {version} was deleted in MLflow; gateways serve their cached copy"
            _notify(config, ports, f"{alias} version {version} was deleted in MLflow", done[alias])
        else:
            done[alias] = version
    if _rolled_back_since(traffic, last):
        _notify_rolled_back(config, ports, traffic)
    notify_waiting_approval(config, ports, traffic)
    ports.store.put(_key(config), json.dumps({"champion": wanted["champion"]}).encode(), overwrite=True)
    return done


def _rolled_back_since(traffic: Traffic, last: str | None) -> bool:
    """Whether the champion of the last sync has been rolled back since, by a gateway or manually."""
    return (
        last is not None
        and traffic.champion is not None
        and last != traffic.champion.version
        and last == _number(traffic.previous)
        and previous_was_rolled_back(traffic)
    )


def _notify_rolled_back(config: ModelConfig, ports: Ports, traffic: Traffic) -> None:
    """Tag the rolled-back version and notify; a gateway has no Airflow connections to do so."""
    rollout, champion = traffic.rollout, _number(traffic.champion)
    if rollout is not None:
        bad = rollout.candidate.version
        with suppress(NotFound):
            ports.registry.tag(
                config.name,
                bad,
                {"homeostat.phase": str(rollout.phase), "homeostat.phase_reason": rollout.reason or "-"},
            )
        _notify(config, ports, f"version {bad} rolled back, version {champion} is champion", rollout.reason)


def _promote_requested(
    config: ModelConfig, ports: Ports, traffic: Traffic, requested: str
) -> tuple[Traffic, str]:
    """Promote the version that a person pointed ``champion`` at, if it passed its gate."""
    version = ports.registry.version(config.name, requested)
    if not passed_gate(version):
        outcome = (
            f"Version {requested} never passed its gate: the alias was reset to version"
            f" {_number(traffic.champion)}."
        )
        _notify(config, ports, "champion was moved in MLflow and put back", outcome)
        return traffic, outcome
    now = ports.clock.now()
    reason = f"champion was moved to version {requested} in MLflow"
    step = promote(traffic, VersionRef(requested, version.digest), now, reason)
    try:  # once, not by compare_and_swap: a change of the ledger meanwhile takes precedence
        written = ports.ledger.write(
            step.traffic, kind=str(step.kind), reason=step.reason, by="mlflow", at=now
        )
    except StaleRevision:
        return ports.ledger.read(config.name), "the ledger changed meanwhile and takes precedence"
    return written, f"version {requested} promoted, as requested in MLflow"


def _notify(config: ModelConfig, ports: Ports, title: str, body: str) -> None:
    ports.notifier.notify(
        config.notify, Notice(NoticeKind.ROLLED_BACK, config.name, f"{config.name}: {title}", body)
    )


def _number(ref: VersionRef | None) -> str | None:
    return None if ref is None else ref.version


def _key(config: ModelConfig) -> str:
    # The name of release 0.1: an address, and the key of a running installation.
    return f"mirror/{config.name}.json"


def _last_synced(config: ModelConfig, ports: Ports) -> str | None:
    try:
        found: str | None = json.loads(ports.store.get(_key(config)))["champion"]
    except NotFound:
        return None
    return found
