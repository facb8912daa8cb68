"""Send notices in a background thread: no decision and no request waits for a mail server."""

from __future__ import annotations

import threading

from homeostat.config import ModelConfig
from homeostat.ports import Notice, Notifier
from homeostat.rollouts.refusal_notice import rollback_notice


def notify_rolled_back(notifier: Notifier, config: ModelConfig, what: str, body: str, rollout: str) -> None:
    """Notify the model's ``notify`` targets of a rollback; ``what`` completes the title."""
    notice = rollback_notice(config, what, body, rollout)
    notify_in_background(notifier, config, notice)


def notify_in_background(notifier: Notifier, config: ModelConfig, notice: Notice) -> None:
    """Send a notice in a thread of its own."""
    threading.Thread(target=notifier.notify, args=(config.notify, notice), name="notify", daemon=True).start()
