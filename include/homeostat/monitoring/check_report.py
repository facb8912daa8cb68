"""What a drift check writes: metrics, report.json and figures for MLflow, and the report in the Store."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from homeostat.config import ModelConfig
from homeostat.core.drift import DriftReport
from homeostat.core.performance import PerformanceReport
from homeostat.core.trigger import TriggerDecision, WindowRecord
from homeostat.monitoring.context import CheckContext
from homeostat.monitoring.labelled_performance import Labelled
from homeostat.monitoring.version_ageing import VersionAgeing
from homeostat.monitoring.window import WindowCounts
from homeostat.ports import Store

#: The name of the figure of drift over time among a run's artifacts.
DRIFT_FIGURE = "drift_over_time.png"
#: The figure shows so many windows.
_FIGURE_WINDOWS = 48


def check_metrics(
    report: DriftReport,
    performance: PerformanceReport,
    aged: VersionAgeing,
    record: WindowRecord,
    decision: TriggerDecision,
) -> dict[str, float]:
    """Return what MLflow charts: one series per feature, so that windows can be compared."""
    metrics: dict[str, float | None] = {
        "rows": report.rows,
        "drifted_share": report.drifted_share,
        "decay": performance.decay,
        "score": record.score,
        "unlogged_labels": record.unlogged_labels,
        "unlearned_windows": aged.unlearned,
        "expected_gain": aged.expected_gain,
        "ageing_z": aged.z,
        "probes": float(aged.probed),
        "fired": float(decision.fire),
        "windows_in_a_row": float(decision.consecutive),
    }
    for verdict in (*report.features, *report.outputs):
        metrics[f"effect.{verdict.name}"] = verdict.effect
        metrics[f"psi.{verdict.name}"] = verdict.psi
    return {name: float(value) for name, value in metrics.items() if value is not None}


def check_artifacts(
    context: CheckContext,
    window: WindowCounts,
    end: datetime,
    report: DriftReport,
    labelled: Labelled,
    decision: TriggerDecision,
) -> dict[str, bytes]:
    """Return report.json and, where the ports render figures, the figures of the check."""
    full: dict[str, Any] = {"drift": report.to_json(), "performance": labelled.report.to_json()}
    full["trigger"] = decision.to_json()
    if labelled.ids is not None:
        full["labels"] = labelled.ids.to_json()
    written = {"report.json": json.dumps(full, indent=1, allow_nan=False).encode()}
    if not context.ports.renders_figures:
        return written
    from homeostat import figures

    reference = context.reference.for_window(window.per_slot)
    return {
        **written,
        DRIFT_FIGURE: drift_figure(context.config, context.ports.store, end),
        "reference_against_window.png": figures.reference_vs_window(reference, window.rows, report),
    }


def save_report(config: ModelConfig, store: Store, end: datetime, report: DriftReport) -> None:
    """Store the drift report of this window, for figures over time."""
    text = json.dumps({"window_end": end.isoformat(), **report.to_json()}, allow_nan=False)
    store.put(_key(config, end), text.encode(), overwrite=True)


def drift_figure(config: ModelConfig, store: Store, end: datetime) -> bytes:
    """Return the figure of the last reports up to the window that ends at ``end``, as PNG."""
    from homeostat import figures

    last = _key(config, end)
    keys = [key for key in store.list(f"reports/{config.name}/") if key <= last]
    return figures.drift_over_time([json.loads(store.get(key)) for key in keys[-_FIGURE_WINDOWS:]])


def _key(config: ModelConfig, end: datetime) -> str:
    return f"reports/{config.name}/{end:%Y-%m-%dT%H%M%S}.json"
