"""What a drift check stores for whoever shows a model's newest verdicts."""

from __future__ import annotations

from datetime import datetime

from homeostat.config import ModelConfig
from homeostat.core.drift import DriftReport
from homeostat.core.slices import SlicesReport
from homeostat.core.trigger import TriggerDecision, WindowRecord
from homeostat.monitoring.labelled_performance import Labelled
from homeostat.storage.latest_check import FeatureDrift, LatestCheck, SliceCheck, shown_features


def latest_verdict(
    config: ModelConfig,
    report: DriftReport,
    labelled: Labelled,
    record: WindowRecord,
    decision: TriggerDecision,
    checked_at: datetime,
    *,
    slices: SlicesReport | None,
) -> LatestCheck:
    """Return the verdicts of one window: at most 50 features, and all slices (``monitor.max_slices``)."""
    performance = labelled.report
    estimate = performance.estimate
    inputs = [FeatureDrift(each.name, "input", each.effect, each.drifted) for each in report.features]
    outputs = [FeatureDrift(each.name, "output", each.effect, each.drifted) for each in report.outputs]
    return LatestCheck(
        window_end=record.window_end,
        checked_at=checked_at,
        version=record.version,
        rows=report.rows,
        drift=report.verdict,
        drifted_share=report.drifted_share,
        performance=performance.verdict,
        metric=performance.metric_title or performance.metric,
        score=performance.score,
        baseline=performance.baseline,
        decay=performance.decay,
        critical=performance.critical,
        estimate=None if estimate is None else estimate.value,
        labelled_rows=record.labelled_rows,
        fired=decision.fire,
        reason=str(decision.reason),
        consecutive=decision.consecutive,
        newest_label=_newest_label(config, labelled),
        unlogged_labels=record.unlogged_labels,
        input_features=len(inputs),
        drifted_features=sum(each.drifted is True for each in inputs),
        unknown_features=sum(each.drifted is None for each in inputs),
        features=shown_features([*inputs, *outputs]),
        slices=_slices(slices) if slices is not None else (),
    )


def _slices(report: SlicesReport) -> tuple[SliceCheck, ...]:
    return tuple(
        SliceCheck(
            each.name,
            report.metric,
            each.performance.score,
            each.performance.baseline,
            each.performance.decay,
            _alerts(each.performance.verdict),
            each.drift.drifted_share,
            _alerts(each.drift.verdict),
        )
        for each in report.results
    )


def _alerts(verdict: str) -> bool | None:
    """Whether a verdict is an alert; None where it is neither an alert nor a pass."""
    return verdict == "alert" if verdict in ("alert", "pass") else None


def _newest_label(config: ModelConfig, labelled: Labelled) -> datetime | None:
    """Return when the newest label became known: from the gateway's log, else from the rows of the source."""
    if labelled.ids is not None:
        return labelled.ids.newest
    if not len(labelled.rows):
        return None
    newest: datetime = labelled.rows[config.columns.timestamp].max().to_pydatetime()
    return newest + config.columns.label.delay
