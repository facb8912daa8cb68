"""What a drift check writes: metrics, report.json and figures for MLflow, and the report in the Store."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound
from homeostat.core.drift import DriftReport
from homeostat.core.performance import PerformanceReport
from homeostat.core.slices import SlicesReport
from homeostat.core.trigger import TriggerDecision, WindowRecord
from homeostat.monitoring.context import CheckContext
from homeostat.monitoring.labelled_performance import Labelled
from homeostat.monitoring.version_ageing import VersionAgeing
from homeostat.monitoring.window import WindowCounts
from homeostat.monitoring.window_summary import SLICES, TRAFFIC
from homeostat.ports import Store
from homeostat.storage.check_records import CheckRecord, check_key, deciding_settings, save_check
from homeostat.storage.parallel_map import parallel_map
from homeostat.storage.retrain_request import health_url

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
    slices: SlicesReport | None = None,
) -> dict[str, float]:
    """Return what MLflow charts: one series per feature, so that windows can be compared.

    MLflow sorts by name and shows names with a slash in groups of their own: what matters has none.
    """
    metrics: dict[str, float | None] = {
        "rows": report.rows,
        "drifted_share": report.drifted_share,
        "decay": performance.decay,
        "score": record.score,
        "score_baseline": performance.baseline,
        "unlogged_labels": record.unlogged_labels,
        "trigger/unlearned_windows": aged.unlearned,
        "trigger/expected_gain": aged.expected_gain,
        "trigger/ageing_z": aged.z,
        "trigger/probes": float(aged.probed),
        "trigger/fired": float(decision.fire),
        "trigger/windows_in_a_row": float(decision.consecutive),
    }
    for verdict in (*report.features, *report.outputs):
        metrics[f"effect/{verdict.name}"] = verdict.effect
        metrics[f"psi/{verdict.name}"] = verdict.psi
    for found in slices.results if slices else ():
        name = found.name.replace("=", " ")  # MLflow accepts no "=" in names
        metrics[f"slice/{name}"] = found.performance.score
        metrics[f"slice_decay/{name}"] = found.performance.decay
        metrics[f"slice_drift/{name}"] = found.drift.drifted_share
    return {name: float(value) for name, value in metrics.items() if value is not None}


def check_artifacts(
    context: CheckContext,
    window: WindowCounts,
    end: datetime,
    report: DriftReport,
    labelled: Labelled,
    decision: TriggerDecision,
    *,
    slices: SlicesReport | None = None,
    draw: bool = True,
) -> dict[str, bytes]:
    """Return report.json and, with ``draw`` and where the ports render figures, the figures of the check."""
    full: dict[str, Any] = {"drift": report.to_json(), "performance": labelled.report.to_json()}
    full["trigger"] = decision.to_json()
    if labelled.ids is not None:
        full["labels"] = labelled.ids.to_json()
    if slices is not None:
        full[SLICES] = slices.to_json()
    if window.traffic is not None:
        full[TRAFFIC] = asdict(window.traffic)
    if context.airflow_url:
        full["airflow"] = context.airflow_url
        full["health"] = health_url(context.airflow_url, context.config.name)
    written = {"report.json": json.dumps(full, indent=1, allow_nan=False).encode()}
    if not draw or not context.ports.renders_figures:
        return written
    from homeostat import figures

    reference = context.reference.for_window(window.per_slot)
    return {
        **written,
        DRIFT_FIGURE: drift_figure(context.config, context.ports.store, end),
        "reference_against_window.png": figures.reference_vs_window(reference, window.rows, report),
    }


def save_report(
    context: CheckContext,
    report: DriftReport,
    labelled: Labelled,
    record: WindowRecord,
    decision: TriggerDecision,
    slices: SlicesReport | None = None,
) -> None:
    """Store the record of this window: what explains it later, and figures over time."""
    check = CheckRecord(
        record.window_end,
        report,
        record,
        labelled.report,
        decision,
        deciding_settings(context.config),
        labelled.ids.to_json() if labelled.ids else {},
        slices,
    )
    save_check(context.ports.store, context.config.name, check)


def drift_figure(config: ModelConfig, store: Store, end: datetime) -> bytes:
    """Return the figure of the last reports up to the window that ends at ``end``, as PNG.

    Reports are read by their names, one ``monitor.every`` after the other: a list of all of them grows.
    """
    from homeostat import figures

    ends = [end - n * config.monitor.every for n in reversed(range(_FIGURE_WINDOWS))]
    found = parallel_map(lambda at: _report(store, check_key(config.name, at)), ends)
    return figures.drift_over_time([report for report in found if report is not None])


def _report(store: Store, key: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(store.get(key))
    except NotFound:
        return None
    return found
