"""Sync MLflow with the ledger: aliases, and what became of each version.

A ``champion`` moved in MLflow's UI is a request for promotion.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound, StaleRevision
from homeostat.core.rollout import Traffic, VersionRef, describe_phase, promote
from homeostat.core.rollout.transitions import previous_was_rolled_back
from homeostat.ports import Event, Notice, NoticeKind, Ports, Version
from homeostat.rollouts.approval_notice import notify_waiting_approval
from homeostat.rollouts.gate_check import passed_gate
from homeostat.rollouts.refusal_notice import rollback_notice
from homeostat.rollouts.version_changes import latest, version_changes
from homeostat.rollouts.version_story import version_story
from homeostat.storage.retrain_outcome import MAX_SENTENCE
from homeostat.storage.retrain_request import with_links
from homeostat.storage.step_results import find_result

#: Characters of sentence and story. MLflow keeps 5,000; a link and the version's origin follow.
_MAX_TEXT = 4400


def sync_aliases(config: ModelConfig, ports: Ports) -> dict[str, Any]:
    """Set ``champion``, ``previous`` and ``candidate`` as the ledger says; return what was done.

    A ``champion`` alias that differs from both the ledger and the last sync was moved by a person and
    requests a promotion: it is made when that version passed its gate, otherwise the alias is reset and a
    notice sent. An alias that is where the last sync left it is only out of date (a crash between two writes,
    MLflow away) and is repaired. Tags and descriptions of the versions that the ledger has changed since the
    last sync follow too.
    """
    traffic = ports.ledger.read(config.name)
    aliases = ports.registry.aliases(config.name)
    requested = aliases.get("champion")
    done: dict[str, Any] = {}
    synced = _last_synced(config, ports)
    last = synced["champion"] if synced else None
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
            title = f"{alias} version {version} was deleted in MLflow"
            action = f"Retrain: homeostat retrain {config.name}. A gateway that starts anew cannot load it."
            _notify(config, ports, title, done[alias], action, once=f"deleted/{alias}/{version}")
        else:
            done[alias] = version
    _record_versions(config, ports, traffic, synced.get("revision", 0) if synced else 0)
    if _rolled_back_since(traffic, last):
        _notify_rolled_back(config, ports, traffic)
    notify_waiting_approval(config, ports, traffic)
    state = {"champion": wanted["champion"], "revision": traffic.revision}
    ports.store.put(_key(config), json.dumps(state).encode(), overwrite=True)
    return done


def _record_versions(config: ModelConfig, ports: Ports, traffic: Traffic, synced: int) -> None:
    """Write what became of each version since the revision of the last sync: tags and description."""
    if traffic.revision == synced:
        return
    events = ports.ledger.events(config.name)
    since = [event for event in events if event.revision >= synced]  # with the state before the first
    for version, change in latest(version_changes(since)).items():
        tags = {"homeostat.phase": change.phase, "homeostat.phase_reason": change.reason or "-"}
        if change.outcome is not None:
            tags["homeostat.outcome"] = str(change.outcome)
        sentence = change.sentence[:MAX_SENTENCE]
        with suppress(NotFound):  # deleted in MLflow
            found = _describe(config, ports, version, tags, sentence, events)
            if found.run_id:
                ports.registry.describe(with_links(sentence, found.tags, config.name), run_id=found.run_id)
    active = traffic.active
    if active is not None:
        version = active.candidate.version
        sentence = f"{config.name} version {version}: {describe_phase(active)}"
        tags = {"homeostat.phase": str(active.phase), "homeostat.phase_reason": active.reason or "-"}
        with suppress(NotFound):
            _describe(config, ports, version, tags, sentence, events)


def _describe(
    config: ModelConfig,
    ports: Ports,
    version: str,
    tags: Mapping[str, str],
    sentence: str,
    events: Sequence[Event],
) -> Version:
    """Set a version's tags, and its sentence and story as its description; NotFound if it was deleted."""
    ports.registry.tag(config.name, version, tags)
    found = ports.registry.version(config.name, version)
    gate = find_result(ports.store, config.name, found.tags.get("homeostat.run_key", ""), "gate") or {}
    story = version_story(
        events,
        version,
        created_at=found.created_at,
        reason=found.tags.get("homeostat.reason", ""),
        gate=gate.get("sentence", ""),
        room=max(0, _MAX_TEXT - len(sentence)),
    )
    text = with_links(f"{sentence}\n\n{story}", found.tags, config.name)
    ports.registry.describe(text, model=config.name, version=version)
    return found


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
    """Notify that the champion was rolled back; a gateway has no Airflow connections to do so."""
    rollout, champion = traffic.rollout, _number(traffic.champion)
    if rollout is not None:
        bad = rollout.candidate.version
        what = f"version {bad} rolled back, version {champion} is champion"
        notice = rollback_notice(config, what, rollout.reason, rollout.id)
        ports.notifier.notify(config.notify, notice)


def _promote_requested(
    config: ModelConfig, ports: Ports, traffic: Traffic, requested: str
) -> tuple[Traffic, str]:
    """Promote the version that a person pointed ``champion`` at, if it passed its gate."""
    version = ports.registry.version(config.name, requested)
    refused = _why_refused(config, version)
    if refused:
        outcome = f"{refused}: the alias was reset to version {_number(traffic.champion)}."
        action = f"To promote it: homeostat promote {config.name} {requested}, or retrain."
        _notify(config, ports, "champion was moved in MLflow and put back", outcome, action)
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


def _why_refused(config: ModelConfig, version: Version) -> str:
    """Return why a version that a person pointed ``champion`` at is not promoted; "" where it is."""
    if not passed_gate(version):
        return f"Version {version.version} never passed its gate"
    if config.approvers:
        return (
            f"Who moved it to version {version.version} is not known, and only"
            f" {', '.join(config.approvers)} may promote (approvers in model.yaml)"
        )
    return ""


def _notify(config: ModelConfig, ports: Ports, title: str, body: str, action: str, *, once: str = "") -> None:
    notice = Notice(NoticeKind.ROLLED_BACK, config.name, f"{config.name}: {title}", body, action, once=once)
    ports.notifier.notify(config.notify, notice)


def _number(ref: VersionRef | None) -> str | None:
    return None if ref is None else ref.version


def _key(config: ModelConfig) -> str:
    # The name of release 0.1: an address, and the key of a running installation.
    return f"mirror/{config.name}.json"


def _last_synced(config: ModelConfig, ports: Ports) -> dict[str, Any] | None:
    """Return ``champion`` and the ledger's ``revision`` of the last sync; release 0.1 wrote no revision."""
    try:
        found: dict[str, Any] = json.loads(ports.store.get(_key(config)))
    except NotFound:
        return None
    return found
