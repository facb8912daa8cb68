"""People are told beside the work: neither a decision nor an order waits for a mail server."""

from __future__ import annotations

import threading

from homeostat.config import ModelConfig
from homeostat.ports import Notice, Notifier


def tell_rolled_back(notifier: Notifier, config: ModelConfig, what: str, body: str) -> None:
    """Tell those whom the model notifies that a version was taken back; ``what`` completes the title."""
    notice = Notice("rolled_back", config.name, f"{config.name}: {what}", body)
    threading.Thread(target=notifier.notify, args=(config.notify, notice), name="tell", daemon=True).start()
