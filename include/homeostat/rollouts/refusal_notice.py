"""Notices of the end of a retrain, and of a champion that was rolled back: one form, whoever sends them."""

from __future__ import annotations

from dataclasses import replace

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound
from homeostat.ports import Notice, NoticeKind, Ports
from homeostat.storage.retrain_outcome import WHERE, RetrainOutcome, find_outcome
from homeostat.storage.retrain_request import load_request


def notify_refused(
    config: ModelConfig, ports: Ports, run_key: str, what: str, stage: str, sentence: str
) -> None:
    """Notify that the candidate (``what``: "candidate" or "version 3") was refused at this stage."""
    title = f"{config.name}: {what} refused {WHERE[stage]}"
    action = f"Nothing now: the champion stays. Why: {explain_command(config, run_key)}"
    notice = Notice(NoticeKind.REFUSED, config.name, title, sentence, action)
    notify_end(config, ports, run_key, notice)


def notify_end(config: ModelConfig, ports: Ports, run_key: str, notice: Notice) -> None:
    """Send the notice of the end of a retrain: the end of the story that its trigger began."""
    story = retrain_story(trigger_of(ports, config.name, run_key))
    ports.notifier.notify(config.notify, replace(notice, story=story, part="end"))


def notify_failed(config: ModelConfig, ports: Ports, run_key: str) -> None:
    """Notify that a retrain failed, once; does nothing for one that ended in another way."""
    outcome = find_outcome(ports.store, config.name, run_key)
    if outcome is None or outcome.outcome is not RetrainOutcome.FAILED:
        return
    action = (
        f"Fix what the sentence names, and clear the failed task of retrain__{config.name} in Airflow. The"
        " champion serves meanwhile."
    )
    title = f"{config.name}: a retrain failed"
    notice = Notice(
        NoticeKind.FAILED, config.name, title, outcome.sentence, action, once=failed_once(run_key)
    )
    notify_end(config, ports, run_key, notice)


def rollback_notice(config: ModelConfig, what: str, reason: str, rollout: str) -> Notice:
    """Return the notice of a champion that was rolled back; several processes see it and may send it."""
    why = explain_command(config, rollout) if rollout else f"homeostat status {config.name}"
    action = (
        "The previous version serves. If nothing else explains it, look at what changed upstream since the"
        f" promotion. Why: {why}"
    )
    once = rolled_back_once(rollout) if rollout else ""
    return Notice(NoticeKind.ROLLED_BACK, config.name, f"{config.name}: {what}", reason, action, once=once)


def failed_once(run_key: str) -> str:
    """Return the name under which the failure of a retrain is notified once, whatever it failed of."""
    return f"failed/{run_key}"


def rolled_back_once(rollout: str) -> str:
    """Return the name under which the roll-back of this rollout is notified once."""
    return f"rolled_back/{rollout}"


def retrain_story(trigger: str) -> str:
    """Return the story that a retrain belongs to, from the id of its trigger."""
    return f"retrain/{trigger}"


def trigger_of(ports: Ports, model: str, run_key: str) -> str:
    """Return the id of the trigger of a retrain; its run key where the request is not known."""
    try:
        return load_request(ports.store, model, run_key).trigger_id
    except NotFound:
        return run_key


def explain_command(config: ModelConfig, run_key: str) -> str:
    """Return the command that tells the story of a retrain."""
    return f"homeostat explain {config.name} {run_key}"
