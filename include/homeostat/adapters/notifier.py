"""Notifiers without a service: the log, and a list for tests. The Airflow plugin has its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from homeostat.ports import Notice

_LOG = logging.getLogger("homeostat.notices")


class LogNotifier:
    """Writes every notice to the log (the default without Airflow).

    Parameters
    ----------
    level
        INFO for commands whose own output says the same to the person who ran them.
    """

    def __init__(self, level: int = logging.WARNING) -> None:
        self._level = level

    def notify(self, targets: Sequence[str], notice: Notice) -> None:
        """See :meth:`homeostat.ports.Notifier.notify`."""
        _LOG.log(
            self._level,
            "%s [%s] %s: %s",
            notice.title,
            notice.model,
            notice.kind,
            notice.body,
            extra={"targets": list(targets)},
        )


class MemoryNotifier:
    """Records sent notices as ``(targets, notice)``, oldest first."""

    def __init__(self) -> None:
        self.sent: list[tuple[tuple[str, ...], Notice]] = []

    def notify(self, targets: Sequence[str], notice: Notice) -> None:
        """See :meth:`homeostat.ports.Notifier.notify`."""
        self.sent.append((tuple(targets), notice))

    def of(self, kind: str) -> list[Notice]:
        """Return the notices of one kind."""
        return [notice for _, notice in self.sent if notice.kind == kind]
