"""Performance of the champion's predictions, once their labels have arrived."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.config.label_text import label_texts
from homeostat.config.positive_class import OF_ONE_CLASS
from homeostat.core.performance import (
    Baseline,
    BatchScore,
    PerformanceReport,
    assess,
    higher_is_better,
    score,
)
from homeostat.core.profile import CategoryEdges
from homeostat.core.trigger import Impact, WindowRecord
from homeostat.monitoring.batch_scoring import score_in_batch
from homeostat.monitoring.context import DRIFT_WINDOWS, CheckContext
from homeostat.monitoring.drift_impact import drift_impact
from homeostat.monitoring.estimated_performance import estimate_accuracy
from homeostat.monitoring.window import WindowCounts
from homeostat.storage import label_join
from homeostat.storage.champion_history import newest_champions
from homeostat.storage.label_join import LabelIds
from homeostat.storage.version_info import load_version_info, monitored_config

logger = logging.getLogger(__name__)

#: With fewer labelled rows in a step, performance is pending.
MIN_LABELLED = 30
# The best baseline is taken over so many of the last champions.
_CHAMPIONS = 8


@dataclass(frozen=True, slots=True)
class Labelled:
    """Performance from labels.

    ``batch`` is the newest step's own score (None while its labels are pending), ``rows`` are its labelled
    rows from all versions, and ``impact`` says whether predictions got worse since the inputs began to drift.
    ``ids`` counts the newest labels whose prediction is not logged; None without a gateway.
    """

    report: PerformanceReport
    batch: BatchScore | None
    rows: pd.DataFrame
    impact: Impact
    ids: LabelIds | None = None


def measure_performance(
    context: CheckContext,
    info: Mapping[str, Any],
    end: datetime,
    tenure: Sequence[WindowRecord],
    window: WindowCounts,
    drifting_since: datetime | None,
) -> Labelled:
    """Score the newest step whose labels are due, and compare the last batches with the baseline.

    Parameters
    ----------
    info
        What is stored about the champion, see :func:`homeostat.storage.version_info.load_version_info`.
    tenure
        Records of the windows since this version became champion.
    window
        The window that is checked, for the estimate of its accuracy.
    drifting_since
        End of the first window of the current run of drift alerts; None without one.
    """
    context = replace(context, config=_as_scored(context, info))
    config, metric = context.config, context.config.served_metric
    rows = newest_labelled_rows(context, end)
    own = rows[rows["_version"] == context.champion.version]
    batch, undefined = _score(context, own, end)
    batches = [*_earlier_batches(tenure, end), *([batch] if batch else [])]
    since_drift = [b for b in batches if drifting_since and _of_drift(config, b, drifting_since, end)]
    report = assess(
        config,
        _baseline(info, metric),
        batches,
        pending=len(own) < MIN_LABELLED,
        metric=metric,
        since_drift=since_drift,
        best=_best_baseline(context, metric),
        undefined=undefined,
    ).with_estimate(estimate_accuracy(context, window.predicted, own, end))
    impact = drift_impact(config, report, batches, since_drift)
    return Labelled(report, batch, rows, impact, _newest_label_ids(context, end))


def newest_labelled_rows(context: CheckContext, end: datetime) -> pd.DataFrame:
    """Return the labelled rows of the newest step whose labels are due by ``end``."""
    config = context.config
    due = end - config.columns.label.delay
    start = due - config.monitor.every
    if config.serve == "none":
        return score_in_batch(config, context.ports, context.champion, start, due, label=True)
    rows = label_join.read_labelled(context.ports.store, config, start, due, known_by=end)
    classes = config.columns.label.classes  # a label that is none of them says nothing about a prediction
    return rows if classes is None else rows[rows[config.columns.label.name].isin(classes)]


def _newest_label_ids(context: CheckContext, end: datetime) -> LabelIds | None:
    config = context.config
    if config.serve == "none":
        return None
    until = end - label_join.UPLOAD_TIME
    return label_join.count_label_ids(context.ports.store, config, until - config.monitor.every, until)


def _as_scored(context: CheckContext, info: Mapping[str, Any]) -> ModelConfig:
    """Return the configuration by which the champion's own baseline was scored: of the same class."""
    config = monitored_config(context.config, info, _classes(context))
    if config.served_metric in OF_ONE_CLASS and "positive" not in info:
        _warn_once(config.name, context.champion.version, config.served_metric_title)
    return config


@cache
def _warn_once(model: str, version: str, title: str) -> None:
    logger.warning(
        "%s: version %s has its baseline from an earlier release and is monitored by %s, the last class by "
        "name; schema.label.positive counts from the next version on",
        *(model, version, title),
    )


def _classes(context: CheckContext) -> tuple[str, ...]:
    """Return the classes that the champion predicts: a step may lack some of them."""
    edges = context.reference.edges.features["prediction"]
    return tuple(edges.labels) if isinstance(edges, CategoryEdges) else ()


def _score(context: CheckContext, own: pd.DataFrame, end: datetime) -> tuple[BatchScore | None, str]:
    """Score the champion's own labelled rows.

    None with too few rows, or where the metric is undefined; the text says why it is.
    """
    config = context.config
    if len(own) < MIN_LABELLED:
        return None, ""
    truth, predicted = own[config.columns.label.name], own["_prediction"]
    rows: tuple[Any, Any] = (truth.to_numpy(), predicted.to_numpy())
    if config.task == "classification":
        rows = label_texts(truth), label_texts(predicted)
    try:
        found = score(
            config.task,
            config.served_metric,
            *rows,
            positive=config.columns.label.positive,
            known=_classes(context),
        )
    except DataError as error:  # f1 of a step without a positive row, for instance
        return None, str(error)
    return BatchScore(end, found, len(own)), ""


def _earlier_batches(tenure: Sequence[WindowRecord], end: datetime) -> list[BatchScore]:
    return [
        BatchScore(record.window_end, record.score, record.labelled_rows or record.rows)
        for record in tenure
        if record.score is not None and record.window_end < end
    ]


def _of_drift(config: ModelConfig, batch: BatchScore, drifting_since: datetime, end: datetime) -> bool:
    """Whether the batch's rows came after the drift began, and within the last windows."""
    first: datetime = drifting_since + config.columns.label.delay
    longest: timedelta = DRIFT_WINDOWS * config.monitor.window
    return batch.window_end >= first and batch.window_end > end - longest


def _baseline(info: Mapping[str, Any], metric: str) -> Baseline:
    baseline = info.get("metrics", {}).get(metric)
    return Baseline(baseline, int(info.get("holdout_rows") or 0), info.get("variance"))


def _best_baseline(context: CheckContext, metric: str) -> float | None:
    """Return the best baseline of this model's last champions."""
    store, model = context.ports.store, context.config.name
    last = newest_champions(context.ports.ledger, model, _CHAMPIONS)
    infos = [load_version_info(store, model, ref.digest) for ref in last]
    same = [info for info in infos if _same_metric(context, info)]
    scores = [info.get("metrics", {}).get(metric) for info in same]
    known = [float(found) for found in scores if found is not None]
    if not known:
        return None
    return max(known) if higher_is_better(metric) else min(known)


def _same_metric(context: CheckContext, info: Mapping[str, Any]) -> bool:
    """Whether this version's baseline is of the same class as the champion's."""
    own = monitored_config(context.config, info, _classes(context))
    return own.served_metric_title == context.config.served_metric_title
