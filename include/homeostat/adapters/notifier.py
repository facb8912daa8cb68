"""Notifiers that need no service: the log, and a list for tests. Airflow's side has its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from homeostat.ports import Notice

_LOG = logging.getLogger("homeostat.notices")


class LogNotifier:
    """Writes every notice to the log, where an installation without Airflow still finds it."""

    def notify(self, targets: Sequence[str], notice: Notice) -> None:
        """See :meth:`homeostat.ports.Notifier.notify`."""
        _LOG.warning(
            "%s [%s] %s: %s",
            notice.title,
            notice.model,
            notice.kind,
            notice.body,
            extra={"targets": list(targets)},
        )


class MemoryNotifier:
    """Keeps what was sent, as ``(targets, notice)``, oldest first."""

    def __init__(self) -> None:
        self.sent: list[tuple[tuple[str, ...], Notice]] = []

    def notify(self, targets: Sequence[str], notice: Notice) -> None:
        """See :meth:`homeostat.ports.Notifier.notify`."""
        self.sent.append((tuple(targets), notice))

    def of(self, kind: str) -> list[Notice]:
        """The notices of one kind."""
        return [notice for _, notice in self.sent if notice.kind == kind]
