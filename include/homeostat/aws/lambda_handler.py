"""What AWS Lambda calls: check one window, send what has fired, say so in one line of the log."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

from homeostat.adapters.ledger_snapshot import PublishedLedger
from homeostat.aws.lambda_metrics import line
from homeostat.aws.lambda_ports import World, world
from homeostat.config.errors import ConfigError, Refused
from homeostat.config.times import parse_utc
from homeostat.monitoring.drift_check import check_drift, window_end_of
from homeostat.monitoring.trigger_outbox import send_fired

_FORM = '{"model": "pump_fault", "window_end": "2026-01-05T07:00:00Z"}'
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def handler(event: Any, context: Any = None) -> dict[str, Any]:  # noqa: ARG001  # Lambda's own signature
    """Check the window that ends at the event's time, and send the triggers that are still to be sent.

    Everything may happen twice: the second check of a window replaces the first, and a trigger counts once.

    Parameters
    ----------
    event
        ``{"model": ..., "window_end": ...}``, an ISO time that is rounded down to ``monitor.every``.
        EventBridge Scheduler puts the scheduled time there, a person any other.

    Returns
    -------
    The check's result, see :func:`~homeostat.monitoring.drift_check.check_drift`, with ``sent``, the ids
    of triggers.

    Raises
    ------
    HomeostatError
        Lambda tries again twice, then its destination for failures gets the event. What no retry cures is
        raised as well, so that the alarm on errors rings: nobody else would tell.
    """
    return check(event, world())


def check(event: Any, here: World) -> dict[str, Any]:
    """:func:`handler` in a world of its own."""
    began = time.perf_counter()
    model, asked = _read(event)
    ledger = PublishedLedger(here.store)
    config = ledger.published(model).config
    if config.monitor.runs_on != "lambda":
        msg = f"{model} has monitor.runs_on: {config.monitor.runs_on}: take it out of Terraform's var.models"
        raise Refused(msg)
    end = window_end_of(config, asked)
    ports = here.ports(ledger, end)
    answer = check_drift(config, ports, end)
    sent = send_fired(config, ports, here.triggers, window_end=end)
    print(line(here.project, answer, sent, datetime.now(UTC), time.perf_counter() - began), flush=True)  # noqa: T201  # CloudWatch reads metrics from the output
    return {**answer, "sent": sent}


def _read(event: Any) -> tuple[str, datetime]:
    """Model and time of an event."""
    model = event.get("model") if isinstance(event, dict) else None
    if not isinstance(model, str) or not _NAME.fullmatch(model):
        msg = f"the event {_short(event)} names no model: expected {_FORM}"
        raise ConfigError(msg)
    asked = event.get("window_end")
    try:
        return model, parse_utc(asked)
    except (TypeError, ValueError, OverflowError):
        msg = f"the event {_short(event)} has no time as its window_end: expected {_FORM}"
        raise ConfigError(msg) from None


def _short(event: Any) -> str:
    text = json.dumps(event, default=repr)
    return text if len(text) <= 200 else f"{text[:200]}..."
