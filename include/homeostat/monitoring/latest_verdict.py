"""What a drift check stores for whoever shows a model's newest verdicts."""

from __future__ import annotations

from datetime import datetime

from homeostat.config import ModelConfig
from homeostat.core.drift import DriftReport
from homeostat.core.trigger import TriggerDecision, WindowRecord
from homeostat.monitoring.labelled_performance import Labelled
from homeostat.storage.latest_check import FeatureDrift, LatestCheck, shown_features


def latest_verdict(
    config: ModelConfig,
    report: DriftReport,
    labelled: Labelled,
    record: WindowRecord,
    decision: TriggerDecision,
    checked_at: datetime,
) -> LatestCheck:
    """Return the verdicts of one window, at most 50 features of them."""
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
    )


def _newest_label(config: ModelConfig, labelled: Labelled) -> datetime | None:
    """Return when the newest label became known: from the gateway's log, else from the rows of the source."""
    if labelled.ids is not None:
        return labelled.ids.newest
    if not len(labelled.rows):
        return None
    newest: datetime = labelled.rows[config.columns.timestamp].max().to_pydatetime()
    return newest + config.columns.label.delay
