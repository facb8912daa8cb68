"""When each model was last checked for drift; checks that have stopped are an error."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from homeostat.config import format_duration
from homeostat.config.errors import Refused
from homeostat.core.trigger import silent_after
from homeostat.doctor.check import Finding, broken, format_span, ok, skipped
from homeostat.doctor.ledger import ledger_or_skip

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.core.trigger import WindowRecord
    from homeostat.doctor.deployment import Deployment
    from homeostat.ports import History, Store

_LOOKBACK = timedelta(days=30)


def newest_window(deployment: Deployment, model: ModelConfig) -> WindowRecord | None:
    """Return the newest recorded window of the last 30 days, or None."""
    history, now = _history(deployment, model), deployment.now()
    for back in (2 * silent_after(model.monitor.every), _LOOKBACK):
        found = history.windows(model.name, since=now - back)
        if found:
            return found[-1]
    return None


def _history(deployment: Deployment, model: ModelConfig) -> History:
    """Return the history: the Lambda function writes it into the store, Airflow into MLflow."""
    if model.monitor.runs_on == "lambda":
        from homeostat.adapters import open_store_history

        return open_store_history(_ReadOnlyStore(deployment.store.get_or_skip().store))
    from homeostat.adapters.history_mlflow import MlflowHistory

    return MlflowHistory(deployment.mlflow.get_or_skip().connection)


class _ReadOnlyStore:
    """A store that refuses writes; otherwise the history would write its cache."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.get, self.exists, self.list, self.uri = store.get, store.exists, store.list, store.uri

    def put(self, key: str, data: bytes, *, overwrite: bool = False) -> None:  # noqa: ARG002  # the port's signature
        """Raise Refused."""
        msg = f"{key}: homeostat doctor does not write"
        raise Refused(msg)

    def delete(self, key: str) -> None:
        """Raise Refused."""
        self.put(key, b"")


def check_last_window(deployment: Deployment, model: ModelConfig) -> Finding:
    """Check that the newest window ended within three periods, and the time that its check waits."""
    traffic = ledger_or_skip(deployment).traffic(model.name)
    if traffic.champion is None:
        return skipped("no champion yet, nothing to check for drift")
    now = deployment.now()
    max_age = silent_after(model.monitor.every) + model.check_delay
    newest = newest_window(deployment, model)
    if newest is not None and now - newest.window_end <= max_age:
        age, end = format_span(now - newest.window_end), f"{newest.window_end:%Y-%m-%d %H:%M} UTC"
        unlogged = newest.unlogged_labels
        labels = f", {unlogged} new labels belong to no logged prediction" if unlogged else ""
        return ok(f"last window ended {age} ago ({end}), drift: {newest.drift}{labels}")
    if newest is None and traffic.promoted_at is not None and now - traffic.promoted_at <= max_age:
        return ok(f"champion since {format_span(now - traffic.promoted_at)}, first check not due yet")
    age = (
        f"no drift check for {format_span(now - newest.window_end)}"
        if newest is not None
        else f"no drift check in the last {format_span(_LOOKBACK)}"
    )
    due = format_duration(model.monitor.every)
    return broken(f"{age}, although monitor.every is {due}", _remedy(deployment, model))


def _remedy(deployment: Deployment, model: ModelConfig) -> str:
    if model.monitor.runs_on == "lambda":
        log = f"/aws/lambda/{deployment.settings.project}-detector"
        return f"check that the EventBridge schedule {model.name} is enabled, and read the log group {log}"
    return (
        f"in Airflow, check whether the DAG drift_check__{model.name} is paused or fails; "
        f"`homeostat check {model.name}` runs a check now"
    )
