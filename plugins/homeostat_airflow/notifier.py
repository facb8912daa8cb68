"""Sends notices through Airflow's Apprise provider: one connection reaches any service.

The connection's extra holds the destination: ``{"config": {"path": "slack://..."}}``, or a list of such
entries. In Airflow's form this is the field *config*, without the outer key.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from homeostat.ports import Notice

logger = logging.getLogger(__name__)

_SEVERITY = {
    "promoted": "success",
    "rolled_back": "failure",
    "refused": "warning",
    "forced": "warning",
    "environment_refused": "warning",
    "checks_stopped": "failure",
    "trigger_refused": "warning",
    "not_computable": "warning",
}
_FORM = 'its extra must read {"config": {"path": "slack://..."}}, with any Apprise URL as path'


class AirflowNotifier:
    """Sends notices to the Apprise connections that model.yaml names under ``notify``."""

    def notify(self, targets: Sequence[str], notice: Notice) -> None:
        """Send to every connection; a failure is logged and does not stop the loop."""
        logger.info("%s: %s. %s", notice.kind, notice.title, notice.body)
        for connection in targets:
            try:
                problem = _send(connection, notice)
            except Exception as error:  # noqa: BLE001  # a notification error must not stop the loop
                problem = f"{type(error).__name__}: {error}"
            if problem:
                logger.error("the notice %r did not reach %s: %s", notice.title, connection, problem)


def _send(connection: str, notice: Notice) -> str:
    """Send to the services of one connection; return the problem, or "".

    Uses the provider's hook, not its notifier: the notifier renders title and body as Jinja templates, and
    they hold text from data. Neither reports whether the message arrived.
    """
    from airflow.providers.apprise.hooks.apprise import AppriseHook
    from apprise import Apprise, NotifyType

    hook, services = AppriseHook(connection), Apprise()
    details = hook.get_connection(connection)
    try:
        hook.set_config_from_conn(details, services)
    except (KeyError, TypeError, ValueError):
        return _FORM
    if not len(services):
        return f"it names no service that Apprise knows; {_FORM}"
    severity = NotifyType(_SEVERITY.get(notice.kind, "info"))
    sent = services.notify(body=notice.body, title=notice.title, notify_type=severity)
    return "" if sent else "one of its services did not respond or refused; see Apprise's log lines above"
