"""When each model was looked at last: three periods without a check are silence."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from homeostat.config import format_duration
from homeostat.config.errors import Refused
from homeostat.doctor.check import Finding, broken, ok, skipped, span
from homeostat.doctor.ledger import ledger_of

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.core.trigger import WindowRecord
    from homeostat.doctor.deployment import Deployment
    from homeostat.ports import History, Store

SILENCE = 3
_LONG_AGO = timedelta(days=30)


def newest_of(deployment: Deployment, model: ModelConfig) -> WindowRecord | None:
    """The newest window on record; None when there is none of the last thirty days."""
    history, now = _history(deployment, model), deployment.now()
    for back in (2 * SILENCE * model.monitor.every, _LONG_AGO):
        found = history.windows(model.name, since=now - back)
        if found:
            return found[-1]
    return None


def _history(deployment: Deployment, model: ModelConfig) -> History:
    """What the detector wrote into the store, or what Airflow wrote into MLflow."""
    if model.monitor.runs_on == "lambda":
        from homeostat.adapters import open_store_history

        return open_store_history(_ReadOnly(deployment.store.needed().store))
    from homeostat.adapters.history_mlflow import MlflowHistory

    return MlflowHistory(deployment.mlflow.needed().connection)


class _ReadOnly:
    """A store that takes nothing: the history would keep a cache in it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.get, self.exists, self.list, self.uri = store.get, store.exists, store.list, store.uri

    def put(self, key: str, data: bytes, *, overwrite: bool = False) -> None:  # noqa: ARG002  # the port's signature
        """Refused."""
        msg = f"{key}: the doctor only reads"
        raise Refused(msg)

    def delete(self, key: str) -> None:
        """Refused."""
        self.put(key, b"")


def look(deployment: Deployment, model: ModelConfig) -> Finding:
    """The newest window ended within three periods."""
    traffic = ledger_of(deployment).traffic(model.name)
    if traffic.champion is None:
        return skipped("no champion yet, so that there is nothing to check")
    now, patience = deployment.now(), SILENCE * model.monitor.every
    newest = newest_of(deployment, model)
    if newest is not None and now - newest.window_end <= patience:
        shown = f"{newest.window_end:%Y-%m-%d %H:%M} UTC"
        return ok(
            f"the window that ended {span(now - newest.window_end)} ago ({shown}): drift {newest.drift}"
        )
    if newest is None and traffic.promoted_at is not None and now - traffic.promoted_at <= patience:
        return ok(f"champion for {span(now - traffic.promoted_at)}; the first check is yet to come")
    silence = (
        f"silent for {span(now - newest.window_end)}"
        if newest is not None
        else f"no check within the last {span(_LONG_AGO)}"
    )
    due = format_duration(model.monitor.every)
    return broken(f"{silence}, and one is due every {due}", _cure(deployment, model))


def _cure(deployment: Deployment, model: ModelConfig) -> str:
    if model.monitor.runs_on == "lambda":
        log = f"/aws/lambda/{deployment.settings.project}-detector"
        return f"see the schedule {model.name} in EventBridge, and the log {log}"
    checks_now = f"`homeostat check {model.name}` checks now"
    return f"see whether drift_check__{model.name} is paused or fails in Airflow; {checks_now}"
