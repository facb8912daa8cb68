"""Notify when a version waits for approval: nothing happens until a person approves it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from homeostat.config import ModelConfig
from homeostat.core.rollout import Phase, Rollout, Traffic
from homeostat.ports import Notice, NoticeKind, Ports
from homeostat.rollouts.refusal_notice import explain_command
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
    only = f"Only {', '.join(config.approvers)} may. " if config.approvers else ""
    action = (
        f"Approve or decline it in Airflow (Required Actions), or run: homeostat promote {config.name} (to"
        f" decline: homeostat rollback {config.name}). {only}Why it may be promoted:"
        f" {explain_command(config, version)}"
    )
    url = ports.registry.url(model=config.name, version=version)
    notice = Notice(
        NoticeKind.WAITING,
        config.name,
        title,
        f"{rollout.reason}. {share}",
        action,
        links=(("MLflow", url),),
    )
    for targets, own in _with_links(config, ports, rollout, notice):
        ports.notifier.notify(targets, own)
    save_result(ports.store, config.name, rollout.id, _NOTIFIED, {"version": version})
    return True


def _with_links(
    config: ModelConfig, ports: Ports, rollout: Rollout, notice: Notice
) -> Iterator[tuple[Sequence[str], Notice]]:
    """Yield the notice for everybody, and for each approver with a connection one with a personal link.

    Without approvers the notice for everybody has the link: whoever reads it may approve.
    """
    links, now = ports.approval_links, ports.clock.now()

    def linked(approver: str) -> Notice:
        if links is None:
            return notice
        url = links.personal_link(config.name, rollout.id, rollout.candidate.version, approver, now)
        return replace(notice, links=(("Approve or decline", url), *notice.links))

    yield config.notify, notice if config.approvers else linked("")
    for approver, connection in config.approvers.items():
        if connection and links is not None:
            yield (connection,), linked(approver)
