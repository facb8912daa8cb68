"""Telling people that a version waits for their word: nothing else happens until somebody approves."""

from __future__ import annotations

from homeostat.config import ModelConfig
from homeostat.core.rollout import Phase, Traffic
from homeostat.ports import Notice, Ports
from homeostat.storage.retrain_request import find_result, save_result


def tell_who_waits(config: ModelConfig, ports: Ports, traffic: Traffic) -> bool:
    """Tell once per rollout that its candidate waits; whether it was told now.

    A gateway makes the step and has no Airflow connections: it is told by whoever sees it first, the retrain
    that follows its rollout or else the next hourly check. Two that see it at once may both tell.
    """
    rollout = traffic.active
    if rollout is None or rollout.phase is not Phase.WAITING:
        return False
    if find_result(ports.store, config.name, rollout.id, "told_waiting") is not None:
        return False
    version = rollout.candidate.version
    share = f"and keeps {rollout.share:.0%} of the traffic" if rollout.share else "without traffic of its own"
    title = f"{config.name}: version {version} waits for approval"
    body = (
        f"{rollout.reason}; it waits {share}. Approve or decline it on Airflow's page of required actions,"
        f" or with: homeostat promote {config.name} (declining: homeostat rollback {config.name})"
    )
    ports.notifier.notify(config.notify, Notice("waiting", config.name, title, body))
    save_result(ports.store, config.name, rollout.id, "told_waiting", {"version": version})
    return True
