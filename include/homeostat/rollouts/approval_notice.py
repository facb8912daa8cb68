"""Notify when a version waits for approval: nothing happens until a person approves it."""

from __future__ import annotations

from homeostat.config import ModelConfig
from homeostat.core.rollout import Phase, Traffic
from homeostat.ports import Notice, NoticeKind, Ports
from homeostat.storage.step_results import find_result, save_result

#: The step result that says that the notice was sent, and what release 0.1 called it.
_NOTIFIED, _OLD_NOTIFIED = "waiting_notified", "told_waiting"


def notify_waiting_approval(config: ModelConfig, ports: Ports, traffic: Traffic) -> bool:
    """Notify once per rollout that its candidate waits for approval; return whether a notice was sent now.

    A gateway, which has no Airflow connections, makes the step to ``waiting``. The first process that sees it
    sends the notice: the retrain that follows its rollout, or the next hourly check. Two at once may both
    send.
    """
    rollout = traffic.active
    if rollout is None or rollout.phase is not Phase.WAITING:
        return False
    if any(find_result(ports.store, config.name, rollout.id, step) for step in (_NOTIFIED, _OLD_NOTIFIED)):
        return False
    version = rollout.candidate.version
    share = f"It keeps {rollout.share:.0%} of the traffic." if rollout.share else "It gets no traffic."
    title = f"{config.name}: version {version} waits for approval"
    body = (
        f"{rollout.reason}. {share} Approve or decline it in Airflow (Required Actions), or run:"
        f" homeostat promote {config.name} (to decline: homeostat rollback {config.name})"
    )
    ports.notifier.notify(config.notify, Notice(NoticeKind.WAITING, config.name, title, body))
    save_result(ports.store, config.name, rollout.id, _NOTIFIED, {"version": version})
    return True
