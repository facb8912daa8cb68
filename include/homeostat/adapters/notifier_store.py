"""Notices queued in the Store by processes that cannot send them; Airflow sends and deletes them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.notifier import LogNotifier
from homeostat.adapters.notifier_apprise import EnvironmentTransport
from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError
from homeostat.config.notices import Severity
from homeostat.notices import Delivery
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
    """Logs every notice; sends at once what is critical, and queues the rest for the next check in Airflow.

    Parameters
    ----------
    gateway
        The gateway's unique name.
    models, transport
        The models, and what reaches people from here. A notice whose targets it does not reach is queued.
    """

    def __init__(
        self,
        store: Store,
        gateway: str,
        models: Mapping[str, ModelConfig] | None = None,
        transport: EnvironmentTransport | None = None,
    ) -> None:
        self._store, self._gateway, self._log = store, gateway, LogNotifier()
        self._models, self._transport = models or {}, transport

    def notify(self, targets: Sequence[str], notice: Notice) -> None:
        """See :meth:`homeostat.ports.Notifier.notify`."""
        self._log.notify(targets, notice)
        if targets and not self._sent(targets, notice):
            subject = f"{datetime.now(UTC):%Y-%m-%dT%H%M%S%f}-{self._gateway}"
            StoreNotifier(self._store, subject).notify(targets, notice)

    def _sent(self, targets: Sequence[str], notice: Notice) -> bool:
        """Send a critical notice; one that does not arrive is tried again by the next check."""
        config = self._models.get(notice.model)
        if config is None or config.notices.severity_of(notice.kind) is not Severity.CRITICAL:
            return False
        if self._transport is None or not self._transport.reaches(targets):
            return False
        Delivery(self._transport, config, self._store, SystemClock()).notify(targets, notice)
        return True
