"""The Lambda handler: check one window, send retrain triggers, log one line of metrics."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

from homeostat.adapters.ledger_snapshot import LedgerSnapshot
from homeostat.aws.lambda_metrics import metrics_line
from homeostat.aws.lambda_ports import LambdaResources, shared_resources
from homeostat.config.errors import ConfigError, Refused
from homeostat.config.times import parse_utc
from homeostat.monitoring.drift_check import check_drift, window_end_of
from homeostat.monitoring.send_triggers import send_triggers

_EXAMPLE = '{"model": "pump_fault", "window_end": "2026-01-05T07:00:00Z"}'
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def handler(event: Any, context: Any = None) -> dict[str, Any]:  # noqa: ARG001  # Lambda's own signature
    """Check the window that ends at the event's time, and send the triggers not sent so far.

    A repeated call is safe: a second check of a window replaces the first, and a trigger counts once.

    Parameters
    ----------
    event
        ``{"model": ..., "window_end": ...}``, an ISO time that is rounded down to ``monitor.every``.
        EventBridge Scheduler sends the scheduled time; a manual call may send any other.

    Returns
    -------
    The check's result, see :func:`~homeostat.monitoring.drift_check.check_drift`, with ``sent``, the ids
    of the triggers sent.

    Raises
    ------
    HomeostatError
        Lambda retries twice, then sends the event to its failure destination. Errors that no retry can fix
        are raised as well: they raise the alarm on errors, and nothing else reports them.
    """
    return check_window(event, shared_resources())


def check_window(event: Any, resources: LambdaResources) -> dict[str, Any]:
    """Do what :func:`handler` does, with the given resources."""
    start = time.perf_counter()
    model, requested = _read_event(event)
    ledger = LedgerSnapshot(resources.store)
    config = ledger.published(model).config
    if config.monitor.runs_on != "lambda":
        msg = (
            f"{model} has monitor.runs_on: {config.monitor.runs_on}, so Airflow checks it: remove it from "
            "`models` in terraform.tfvars, and run `terraform apply`"
        )
        raise Refused(msg)
    end = window_end_of(config, requested)
    ports = resources.ports_for(ledger, end)
    result = check_drift(config, ports, end)
    sent = send_triggers(config, ports, resources.triggers, window_end=end)
    line = metrics_line(resources.project, result, sent, datetime.now(UTC), time.perf_counter() - start)
    print(line, flush=True)  # noqa: T201  # CloudWatch reads metrics from standard output
    return {**result, "sent": sent}


def _read_event(event: Any) -> tuple[str, datetime]:
    """Return the model and the time of an event."""
    model = event.get("model") if isinstance(event, dict) else None
    if not isinstance(model, str) or not _NAME.fullmatch(model):
        msg = f"the event {_shorten(event)} has no valid model: expected {_EXAMPLE}"
        raise ConfigError(msg)
    end = event.get("window_end")
    try:
        return model, parse_utc(end)
    except (TypeError, ValueError, OverflowError):
        msg = f"the event {_shorten(event)} has no valid window_end: expected {_EXAMPLE}"
        raise ConfigError(msg) from None


def _shorten(event: Any) -> str:
    text = json.dumps(event, default=repr)
    return text if len(text) <= 200 else f"{text[:200]}..."
