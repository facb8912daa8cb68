"""Send messages by Apprise: rendered as each service wants them, and to connections of the environment.

Airflow reads connections from ``AIRFLOW_CONN_<ID>`` among other places. A gateway, which has no Airflow, can
read these too, and then sends what is critical without waiting for Airflow.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from homeostat.notices import Message
from homeostat.ports import Notice

if TYPE_CHECKING:
    from apprise import Apprise

logger = logging.getLogger(__name__)

#: How an Apprise connection is written.
FORM = 'its extra must read {"config": {"path": "slack://..."}}, with any Apprise URL as path'
#: What a target answers when one of its services failed; Apprise logs which.
REFUSED = "one of its services did not respond or refused; see Apprise's log lines above"
_LINK = re.compile(r"<a href=")
#: Long addresses, such as links to approve a version, would make a mail wider than its window.
_BREAKABLE = '<a style="overflow-wrap:anywhere;word-break:break-all" href='


class EnvironmentTransport:
    """Hands messages to connections in ``AIRFLOW_CONN_<ID>``; see :class:`homeostat.notices.Transport`.

    Parameters
    ----------
    env
        The environment; default: that of this process.
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self._env = os.environ if env is None else env

    def reaches(self, targets: Sequence[str]) -> bool:
        """Whether the environment has one of these connections, and Apprise is installed."""
        if not any(self._env.get(_variable(target)) for target in targets):
            return False
        return importlib.util.find_spec("apprise") is not None

    def send(self, targets: Sequence[str], message: Message) -> Mapping[str, str]:
        """Send to every connection; see :meth:`homeostat.notices.Transport.send`."""
        problems = {}
        for target in targets:
            try:
                problem = self._send(target, message)
            except Exception as error:  # noqa: BLE001  # an error of a service must not stop the gateway
                problem = f"{type(error).__name__}: {error}"
            if problem:
                logger.error("the notice %r did not reach %s: %s", message.title, target, problem)
                problems[target] = problem
        return problems

    def links(self, notice: Notice) -> Sequence[tuple[str, str]]:  # noqa: ARG002  # a gateway has no run in Airflow
        """Return no links."""
        return ()

    def _send(self, target: str, message: Message) -> str:
        from apprise import Apprise

        text = self._env.get(_variable(target), "")
        if not text:
            return f"{_variable(target)} is not set in this process"
        services = Apprise()
        try:
            for service in _services(text):
                services.add(service["path"], tag=service.get("tag"))
        except (KeyError, TypeError, ValueError):
            return f"{_variable(target)}: {FORM}"
        if not len(services):
            return f"{_variable(target)} names no service that Apprise knows; {FORM}"
        return "" if hand_over(services, message) else REFUSED


def hand_over(services: Apprise, message: Message) -> bool:
    """Send a message to services; False where one of them did not take it."""
    from apprise import Apprise, NotifyFormat, NotifyType
    from apprise.conversion import convert_between

    html = convert_between(NotifyFormat.MARKDOWN, NotifyFormat.HTML, message.body)
    bodies = {True: _LINK.sub(_BREAKABLE, html), False: message.body}
    taken = True
    for as_html, body in bodies.items():
        own = Apprise()
        for service in services:
            if _takes_html(service) is as_html:
                own.add(service)
        if len(own):
            taken &= bool(
                own.notify(
                    body=body,
                    title=message.title,
                    notify_type=NotifyType(message.tone),
                    body_format=NotifyFormat.HTML if as_html else NotifyFormat.MARKDOWN,
                )
            )
    return taken


def _takes_html(service: Any) -> bool:
    """Whether a service shows HTML and no Markdown; newer versions of Apprise have several formats each."""
    formats = [str(getattr(each, "value", each)) for each in _each(service.notify_format)]
    return "html" in formats and "markdown" not in formats


def _each(found: Any) -> Iterator[Any]:
    yield from found if isinstance(found, (list, tuple, set, frozenset)) else (found,)


def _variable(target: str) -> str:
    return f"AIRFLOW_CONN_{target.upper()}"


def _services(text: str) -> list[dict[str, Any]]:
    """Return the services of a connection in JSON or as URI; KeyError, TypeError or ValueError for others."""
    if text.lstrip().startswith("{"):
        extra = json.loads(text).get("extra", {})
    else:
        query = dict(parse_qsl(urlsplit(text).query))
        extra = query.get("__extra__", query)
    extra = json.loads(extra) if isinstance(extra, str) else extra
    config = extra["config"]
    config = json.loads(config) if isinstance(config, str) else config
    return list(config) if isinstance(config, list) else [config]
