"""The rollout of a version that is registered already, by its number."""

from __future__ import annotations

from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import Refused, Superseded
from homeostat.ports import Ports
from homeostat.rollouts.gate_check import require_gate_decision
from homeostat.rollouts.lifecycle import begin_rollout, finalize, lease_duration, rollout_status
from homeostat.rollouts.version_changes import rollout_end
from homeostat.storage.retrain_request import load_request
from homeostat.storage.step_results import find_result


def rollout_of(config: ModelConfig, version: str, ports: Ports) -> str:
    """Return the id of a registered version's rollout, which is the run key of its gate.

    Raises
    ------
    NotFound
        There is no such version.
    Refused
        It did not pass its gate, or another installation's store has its scores.
    """
    found = ports.registry.version(config.name, version)
    require_gate_decision(found)
    key = found.tags.get("homeostat.run_key", "")
    if not key or find_result(ports.store, config.name, key, "register") is None:
        msg = (
            f"version {version} of {config.name} was not registered by this installation, whose store has no "
            f"scores of it: evaluate it with GateOperator(model_uri='models:/{config.name}/{version}')"
        )
        raise Refused(msg)
    return key


def begin_registered(config: ModelConfig, version: str, ports: Ports) -> dict[str, Any]:
    """Acquire the lease and begin the rollout of a registered version; done once per version.

    Returns :func:`~homeostat.rollouts.lifecycle.rollout_status`, and ``champion``: whether it is that now.

    Raises
    ------
    Superseded
        A retrain of the model is running.
    NotFound, Refused
        See :func:`rollout_of`.
    """
    key = rollout_of(config, version, ports)
    if rollout_end(ports.ledger.events(config.name), key) is not None:
        return registered_status(config, key, ports)
    request = load_request(ports.store, config.name, key)
    now = ports.clock.now()
    lease = ports.ledger.acquire_lease(config.name, request.trigger_id, key, now, lease_duration(config))
    if not lease.granted:
        raise Superseded(lease.reason)
    if config.serve == "none":
        return end_registered(config, key, ports)
    begin_rollout(config, key, ports)
    return registered_status(config, key, ports)


def registered_status(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Return the status of the rollout with this id; see :func:`begin_registered`."""
    return _with_champion(config, rollout_status(config, run_key, ports), ports)


def end_registered(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Finalize the rollout as a retrain is finalized; see :func:`begin_registered` for what is returned."""
    return _with_champion(config, finalize(config, run_key, ports), ports)


def _with_champion(config: ModelConfig, status: dict[str, Any], ports: Ports) -> dict[str, Any]:
    champion = ports.ledger.read(config.name).champion
    return {**status, "champion": champion is not None and champion.version == status["version"]}
