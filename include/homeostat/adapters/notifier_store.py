"""Notices queued in the Store by processes that cannot send them; Airflow sends and deletes them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from homeostat.adapters.notifier import LogNotifier
from homeostat.config.errors import HomeostatError
from homeostat.ports import Notice, Store

logger = logging.getLogger(__name__)


class StoreNotifier:
    """Writes ``notices/<model>/<subject>-<kind>.json``: a repeated notice on the same subject overwrites it.

    Parameters
    ----------
    subject
        What the notices are about, as part of a key, for example a window's end.
    """

    def __init__(self, store: Store, subject: str) -> None:
        self._store, self._subject = store, subject

    def notify(self, targets: Sequence[str], notice: Notice) -> None:  # noqa: ARG002  # read from model.yaml when sent
        """See :meth:`homeostat.ports.Notifier.notify`."""
        text = json.dumps(asdict(notice), indent=1)
        key = f"notices/{notice.model}/{self._subject}-{notice.kind}.json"
        try:
            self._store.put(key, text.encode(), overwrite=True)
        except HomeostatError as error:
            logger.warning("notice %r (%s) was lost: %s", notice.title, notice.body, error)


class GatewayNotifier:
    """Logs every notice, and queues those that somebody wants: the next drift check in Airflow sends them.

    Parameters
    ----------
    gateway
        The gateway's unique name.
    """

    def __init__(self, store: Store, gateway: str) -> None:
        self._store, self._gateway, self._log = store, gateway, LogNotifier()

    def notify(self, targets: Sequence[str], notice: Notice) -> None:
        """See :meth:`homeostat.ports.Notifier.notify`."""
        self._log.notify(targets, notice)
        if targets:
            subject = f"{datetime.now(UTC):%Y-%m-%dT%H%M%S%f}-{self._gateway}"
            StoreNotifier(self._store, subject).notify(targets, notice)
