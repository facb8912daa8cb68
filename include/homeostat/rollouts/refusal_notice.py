"""The notice that a candidate was refused: one kind and one form, whichever stage refused it."""

from __future__ import annotations

from homeostat.config import ModelConfig
from homeostat.ports import Notice, NoticeKind, Ports
from homeostat.storage.retrain_outcome import WHERE


def notify_refused(config: ModelConfig, ports: Ports, what: str, stage: str, sentence: str) -> None:
    """Notify that the candidate (``what``: "candidate" or "version 3") was refused at this stage."""
    title = f"{config.name}: {what} refused {WHERE[stage]}"
    ports.notifier.notify(config.notify, Notice(NoticeKind.REFUSED, config.name, title, sentence))
