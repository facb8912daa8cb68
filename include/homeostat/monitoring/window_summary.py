"""Write the summary of a checked window to the ledger's health records, for the pages of a model's health."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from homeostat.config import ModelConfig, format_duration
from homeostat.core.drift import DriftReport
from homeostat.core.model_health import AlertRuns, StepTraffic, WindowSummary
from homeostat.core.performance import PerformanceReport
from homeostat.core.slices import SlicesReport
from homeostat.core.trigger import TriggerDecision, WindowRecord
from homeostat.ports import HealthRecord, Ports, RecordKind
from homeostat.storage.check_records import deciding_settings
from homeostat.storage.version_info import load_version_info

#: The step's traffic among the keys of report.json.
TRAFFIC = "traffic"
#: The slices among them.
SLICES = "slices"


def shown_settings(config: ModelConfig) -> dict[str, str]:
    """Return the settings by which a check or a rollout decides, by their full name, as text."""
    more = {
        "shadow.duration": format_duration(config.shadow.duration),
        "canary.steps": ", ".join(f"{step:g}" for step in config.canary.steps),
        "canary.step_duration": format_duration(config.canary.step_duration),
        "rollback.p99_latency_ms": config.rollback.p99_latency_ms,
        "monitor.keep": format_duration(config.monitor.keep),  # for models of other DAG files
        "approval": config.approval,
        "serve": config.serve,
    }
    found = deciding_settings(config) | more
    return {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in found.items()}


def summarise(
    config: ModelConfig,
    record: WindowRecord,
    drift: DriftReport,
    performance: PerformanceReport,
    decision: TriggerDecision | Mapping[str, Any],
    *,
    history: Sequence[WindowRecord],
    **more: Any,
) -> WindowSummary:
    """Return the summary of one check.

    Parameters
    ----------
    history
        The windows before, in any order.
    **more
        ``checked_at``, ``score_error``, ``traffic``, ``slices``, ``url``, ``airflow_page`` and ``delay`` of
        the summary.
    """
    return WindowSummary.of(
        record,
        drift,
        performance,
        decision,
        runs=AlertRuns.of(history, record),
        settings=shown_settings(config),
        every=config.monitor.every,
        **{"delay": config.check_delay, **more},
    )


def score_error(info: Mapping[str, Any], performance: PerformanceReport) -> float | None:
    """Return the standard error of the mean score of the last batches; None where it is not known.

    sqrt(v / n), with v the variance that one row adds to a score and n the labelled rows.
    """
    variance = info.get("variance")
    if variance is None or performance.score is None or not performance.rows:
        return None
    return math.sqrt(float(variance) / performance.rows)


def save_summary(ports: Ports, model: str, summary: WindowSummary) -> None:
    """Write it to the ledger; a second check of the window replaces it."""
    end = summary.record.window_end
    record = HealthRecord(
        model, RecordKind.WINDOW, end.isoformat(), end, summary.to_json(), rank=summary.rank
    )
    ports.ledger.save_record(record)


def save_copied(
    config: ModelConfig,
    ports: Ports,
    record: WindowRecord,
    artifacts: Mapping[str, bytes],
    *,
    history: Sequence[WindowRecord],
    checked_at: Any,
    run_id: str,
) -> None:
    """Write the summary of a window that the Lambda function checked, from its report.json."""
    if "report.json" not in artifacts:
        return
    full = json.loads(artifacts["report.json"])
    performance = PerformanceReport.from_json(full["performance"])
    traffic = full.get(TRAFFIC)
    champion = ports.ledger.read(config.name).champion
    info: Mapping[str, Any] = {}
    if champion is not None and champion.version == record.version:
        info = load_version_info(ports.store, config.name, champion.digest)
    summary = summarise(
        config,
        record,
        DriftReport.from_json(full["drift"]),
        performance,
        full["trigger"],
        history=history,
        checked_at=checked_at,
        score_error=score_error(info, performance),
        traffic=StepTraffic(**traffic) if traffic else None,
        slices=SlicesReport.from_json(full[SLICES]) if full.get(SLICES) else None,
        url=ports.registry.url(run_id=run_id),
    )
    save_summary(ports, config.name, summary)
