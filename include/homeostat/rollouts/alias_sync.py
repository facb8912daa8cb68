"""MLflow's aliases follow the ledger; a person who moves ``champion`` in MLflow's UI is heard first."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound, StaleRevision
from homeostat.core.rollout import Phase, Traffic, VersionRef, promote
from homeostat.ports import Notice, Ports
from homeostat.rollouts.approval_notice import tell_who_waits


def mirror(config: ModelConfig, ports: Ports) -> dict[str, Any]:
    """Bring ``champion``, ``previous`` and ``candidate`` in line with the ledger; returns what was done.

    ``champion`` standing where nobody of ours put it means that somebody asks for a promotion: honoured
    when that version passed its gate, otherwise put back and reported. An alias that still stands where
    we put it last is merely behind (a crash between two writes, MLflow away) and is repaired.
    """
    traffic = ports.ledger.read(config.name)
    aliases = ports.registry.aliases(config.name)
    asked = aliases.get("champion")
    done: dict[str, Any] = {}
    last = _last_mirrored(config, ports)
    if asked is not None and last is not None and asked != last and asked != _number(traffic.champion):
        traffic, done["by_hand"] = _honour(config, ports, traffic, asked)
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
            _tell(config, ports, f"{alias} version {version} is gone from MLflow", done[alias])
        else:
            done[alias] = version
    if _taken_back_since(traffic, last):
        _tell_taken_back(config, ports, traffic)
    tell_who_waits(config, ports, traffic)
    ports.store.put(_key(config), json.dumps({"champion": wanted["champion"]}).encode(), overwrite=True)
    return done


def _taken_back_since(traffic: Traffic, last: str | None) -> bool:
    """Whether the champion that stood here last time was itself taken back, by a gateway or by hand."""
    rollout = traffic.rollout
    return (
        last is not None
        and traffic.champion is not None
        and last != traffic.champion.version
        and last == _number(traffic.previous)
        and rollout is not None
        and rollout.phase is Phase.ROLLED_BACK
        and rollout.candidate == traffic.previous
    )


def _tell_taken_back(config: ModelConfig, ports: Ports, traffic: Traffic) -> None:
    """A gateway that takes a champion back has no Airflow connections: this is where people hear of it."""
    rollout, champion = traffic.rollout, _number(traffic.champion)
    if rollout is not None:
        bad = rollout.candidate.version
        with suppress(NotFound):
            ports.registry.tag(
                config.name,
                bad,
                {"homeostat.phase": str(rollout.phase), "homeostat.phase_reason": rollout.reason or "-"},
            )
        _tell(config, ports, f"version {bad} rolled back, version {champion} is champion", rollout.reason)


def _honour(config: ModelConfig, ports: Ports, traffic: Traffic, asked: str) -> tuple[Traffic, str]:
    """Take a hand-moved ``champion`` as a request for promotion."""
    version = ports.registry.version(config.name, asked)
    if version.tags.get("homeostat.gate") != "passed":
        answer = (
            f"version {asked} never passed its gate: champion was put back to {_number(traffic.champion)}"
        )
        _tell(config, ports, "champion was moved by hand in MLflow and put back", answer)
        return traffic, answer
    now = ports.clock.now()
    reason = f"champion was moved by hand to version {asked} in MLflow"
    transition = promote(traffic, VersionRef(asked, version.digest), now, reason)
    try:
        traffic = ports.ledger.write(
            transition.traffic, kind=transition.kind, reason=reason, by="mlflow", at=now
        )
    except StaleRevision:
        return ports.ledger.read(config.name), "the ledger moved on meanwhile; it wins"
    return traffic, f"version {asked} promoted, as was asked for in MLflow"


def _tell(config: ModelConfig, ports: Ports, title: str, body: str) -> None:
    ports.notifier.notify(config.notify, Notice("rolled_back", config.name, f"{config.name}: {title}", body))


def _number(ref: VersionRef | None) -> str | None:
    return None if ref is None else ref.version


def _key(config: ModelConfig) -> str:
    return f"mirror/{config.name}.json"


def _last_mirrored(config: ModelConfig, ports: Ports) -> str | None:
    try:
        found: str | None = json.loads(ports.store.get(_key(config)))["champion"]
    except NotFound:
        return None
    return found
