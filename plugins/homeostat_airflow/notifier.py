"""Sends notices through Airflow's Apprise provider: one connection reaches any service.

The connection's extra holds the destination: ``{"config": {"path": "slack://..."}}``, or a list of such
entries. In Airflow's form this is the field *config*, without the outer key.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from homeostat.notices import Message
    from homeostat.ports import Notice

logger = logging.getLogger(__name__)


class AppriseTransport:
    """Hands messages to Apprise connections; see :class:`homeostat.notices.Transport`."""

    def send(self, targets: Sequence[str], message: Message) -> Mapping[str, str]:
        """Send to every connection; return what went wrong by connection, and log it."""
        problems = {}
        for connection in targets:
            try:
                problem = _send(connection, message)
            except Exception as error:  # noqa: BLE001  # a notification error must not stop the loop
                problem = f"{type(error).__name__}: {error}"
            if problem:
                logger.error("the notice %r did not reach %s: %s", message.title, connection, problem)
                problems[connection] = problem
        return problems

    def links(self, notice: Notice) -> Sequence[tuple[str, str]]:  # noqa: ARG002  # the same for all
        """Return the page of the DAG run that sends the notice; none outside of a task."""
        try:
            return _run_link()
        except Exception:  # a link is worth less than the notice
            logger.exception("the notice has no link to Airflow")
            return ()


class AirflowNotifier:
    """Sends each notice at once, without a model's settings: for notices that belong to no single model."""

    def __init__(self) -> None:
        self._transport = AppriseTransport()

    def notify(self, targets: Sequence[str], notice: Notice) -> None:
        """See :meth:`homeostat.ports.Notifier.notify`."""
        from homeostat.config.notices import SEVERITIES, Severity
        from homeostat.notices.message import as_message

        logger.info("%s: %s. %s", notice.kind, notice.title, notice.body)
        severity = SEVERITIES.get(notice.kind, Severity.INFO)
        self._transport.send(targets, as_message(notice, severity, links=self._transport.links(notice)))


def _run_link() -> Sequence[tuple[str, str]]:
    from airflow.sdk import conf, get_current_context

    base = conf.get("api", "base_url", fallback="").rstrip("/")
    try:
        run = get_current_context()["dag_run"]
    except RuntimeError:  # no task runs in this process
        return ()
    if not base:
        return ()
    return (("Airflow", f"{base}/dags/{quote(run.dag_id)}/runs/{quote(run.run_id)}"),)


def _send(connection: str, message: Message) -> str:
    """Send to the services of one connection; return the problem, or "".

    Uses the provider's hook, not its notifier: the notifier renders title and body as Jinja templates, and
    they hold text from data. Neither reports whether the message arrived.
    """
    from airflow.providers.apprise.hooks.apprise import AppriseHook
    from apprise import Apprise

    from homeostat.adapters.notifier_apprise import FORM, REFUSED, hand_over

    hook, services = AppriseHook(connection), Apprise()
    details = hook.get_connection(connection)
    try:
        hook.set_config_from_conn(details, services)
    except (KeyError, TypeError, ValueError):
        return FORM
    if not len(services):
        return f"it names no service that Apprise knows; {FORM}"
    return "" if hand_over(services, message) else REFUSED
