"""Where the rows of the next retrain come from, and whether they are new."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from homeostat.config.errors import HomeostatError
from homeostat.doctor.check import Finding, ok, skipped, warning
from homeostat.doctor.ledger import ledger_or_skip

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.doctor.deployment import Deployment


def check_source(deployment: Deployment, model: ModelConfig) -> Finding:
    """Check that a retrain of a served model would find rows that its champion has not learned."""
    rows = f"rows for retraining come from {model.source.description}"
    if model.source.kind == "predictions" and model.serve == "none":
        return warning(
            f"{rows}, but serve: none has no log",
            "write what is under `source.history` as `source`, or a file, a query or a loader",
        )
    if model.source.kind == "predictions" or model.serve == "none":
        return ok(rows)
    champion = ledger_or_skip(deployment).traffic(model.name).champion
    if champion is None:
        return skipped("no champion yet")
    return _compare_with_traffic(deployment, model, champion.digest) or ok(rows)


def _compare_with_traffic(deployment: Deployment, model: ModelConfig, champion: str) -> Finding | None:
    from homeostat.adapters.configured_source import ConfiguredSource
    from homeostat.core.training_data import behind_traffic, newest_labelled, repeated_rows_warning
    from homeostat.storage.prediction_log import newest_traffic
    from homeostat.storage.version_info import load_version_info

    store = deployment.store.get_or_skip().store
    found = load_version_info(store, model.name, champion).get("trained_until")
    trained_until = datetime.fromisoformat(found) if found else None
    until = deployment.now() - model.columns.label.delay
    logged = newest_traffic(store, model.name, until)
    if trained_until is None or not behind_traffic(model, trained_until, logged):
        return None  # trained recently, or no traffic since: nothing new to learn from
    try:
        rows = ConfiguredSource(store).read(model, trained_until, until)
    except HomeostatError as error:
        return warning(
            f"{model.source.description} cannot be read on this machine: {error}",
            "a retrain fails where this is so, too; without access from here, ignore it",
        )
    newest = newest_labelled(rows, model)
    if not behind_traffic(model, newest or trained_until, logged):
        return None
    return warning(
        repeated_rows_warning(model, newest, trained_until, logged),
        "write this `source` into model.yaml, or add the new rows to the old one",
    )
