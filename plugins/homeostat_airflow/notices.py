"""Notices go out through Airflow's Apprise notifier, so that one connection speaks to any service."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context

    from homeostat.ports import Notice

logger = logging.getLogger(__name__)

_SEVERITY = {
    "promoted": "success",
    "rolled_back": "failure",
    "gate_refused": "warning",
    "not_computable": "warning",
}


class AirflowNotifier:
    """Sends notices to the Apprise connections that model.yaml names under ``notify``."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def notify(self, targets: Sequence[str], notice: Notice) -> None:
        """Send to every connection; one that fails is logged and stops nothing."""
        logger.info("%s: %s. %s", notice.kind, notice.title, notice.body)
        for connection in targets:
            try:
                from airflow.providers.apprise.notifications.apprise import AppriseNotifier
                from apprise import NotifyType

                AppriseNotifier(
                    apprise_conn_id=connection,
                    title=notice.title,
                    body=notice.body,
                    notify_type=NotifyType(_SEVERITY.get(notice.kind, "info")),
                )(self._context)
            except Exception:
                logger.exception("the notice %r could not be sent to %s", notice.title, connection)
