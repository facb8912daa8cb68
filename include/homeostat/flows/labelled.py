"""How good the champion's answers were, once their labels are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.labels import label_texts
from homeostat.flows import log
from homeostat.flows.batch import score_in_batch
from homeostat.flows.estimating import estimated
from homeostat.flows.window import Looked, Window
from homeostat.performance import BatchScore, PerformanceReport, all_metrics, assess
from homeostat.trigger import WindowRecord

#: Fewer labelled rows than this say nothing about performance.
MIN_LABELLED = 30
#: How many batches performance looks back over.
BATCHES = 10


def performance(
    looked: Looked,
    facts: Mapping[str, Any],
    end: datetime,
    history: Sequence[WindowRecord],
    window: Window | None = None,
) -> tuple[PerformanceReport, BatchScore | None]:
    """Score the newest step whose labels should be there, and hold it to the baseline.

    Returns the report over the last batches, and this step's own score (None while labels are pending).
    With the window that is checked, the report has an estimate for its answers too.
    """
    config, champion = looked.config, looked.champion
    metric = monitored_metric(config)
    known = end - config.columns.label.delay
    rows = _labelled(looked, known - config.monitor.every, known, end)
    rows = rows[rows["_version"] == champion.version]
    baseline = facts.get("metrics", {}).get(metric)
    batch = None
    if len(rows) >= MIN_LABELLED:
        label = rows[config.columns.label.name]
        truth = label.to_numpy() if config.task == "regression" else label_texts(label)
        answer = rows["_prediction"]
        said = answer.to_numpy() if config.task == "regression" else label_texts(answer)
        scores = all_metrics(config.task, truth, said, None)
        batch = BatchScore(end, scores[metric], len(rows))
    before = [
        BatchScore(record.window_end, record.score, record.rows)
        for record in history
        if record.version == champion.version and record.score is not None and record.window_end < end
    ]
    scores_so_far = [*before[-(BATCHES - 1) :], *([batch] if batch else [])]
    report = assess(config, baseline, scores_so_far, pending=batch is None)
    if window is not None:
        report = report.with_estimate(estimated(looked, window.answers, rows, end))
    return report, batch


def _labelled(looked: Looked, start: datetime, end: datetime, known_by: datetime) -> pd.DataFrame:
    if looked.config.serve == "none":
        return score_in_batch(looked.config, looked.ports, looked.champion, start, end, label=True)
    return log.read_labelled(looked.ports.store, looked.config, start, end, known_by=known_by)


def monitored_metric(config: ModelConfig) -> str:
    """The gate's metric where served answers alone can give it, otherwise accuracy.

    The log keeps the answer and its confidence, not every class's probability.
    """
    needs_probabilities = config.metric in ("roc_auc", "log_loss")
    return "accuracy" if needs_probabilities else config.metric
