"""Send notices in a background thread: no decision and no request waits for a mail server."""

from __future__ import annotations

import threading

from homeostat.config import ModelConfig
from homeostat.ports import Notice, NoticeKind, Notifier


def notify_rolled_back(notifier: Notifier, config: ModelConfig, what: str, body: str) -> None:
    """Notify the model's ``notify`` targets of a rollback; ``what`` completes the title."""
    notice = Notice(NoticeKind.ROLLED_BACK, config.name, f"{config.name}: {what}", body)
    threading.Thread(target=notifier.notify, args=(config.notify, notice), name="notify", daemon=True).start()
