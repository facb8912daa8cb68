"""The drift asset, and what its event tells the retrain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

#: Fields of a fired drift check that the retrain needs.
TRIGGER_FIELDS = ("trigger_id", "window_end", "reason", "reinstate")


def drift_asset(model: str, prefix: str = "") -> Asset:
    """Return the asset whose events start the model's retrain; ``prefix`` is that of the DAGs' names."""
    return Asset(name=f"{prefix}drift__{model}", uri=f"homeostat://{prefix}{model}/drift", group="homeostat")


def trigger_event(context: Context) -> dict[str, Any]:
    """Return the fired check from the newest drift event or the run's conf; {} without one."""
    events = [event for group in (context.get("triggering_asset_events") or {}).values() for event in group]
    if events:
        return dict(max(events, key=lambda event: event.timestamp).extra)
    conf = context["dag_run"].conf or {}
    return trigger_fields(conf) if conf.get("trigger_id") else {}


def trigger_fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the retrain needs of a check's result or a run's conf; release 0.1 may have written it."""
    from homeostat.storage.retrain_request import with_new_names

    found = with_new_names(raw)
    return {name: found.get(name, "") for name in TRIGGER_FIELDS}
