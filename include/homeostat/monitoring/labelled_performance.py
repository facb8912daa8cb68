"""How good the champion's answers were, once their labels are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.label_text import label_texts
from homeostat.core.performance import (
    Baseline,
    BatchScore,
    PerformanceReport,
    all_metrics,
    assess,
    higher_is_better,
)
from homeostat.core.profile import CategoryFrame
from homeostat.core.trigger import Harm, WindowRecord
from homeostat.monitoring.batch_scoring import score_in_batch
from homeostat.monitoring.estimated_performance import estimated
from homeostat.monitoring.window import Looked, Window
from homeostat.storage import prediction_log as log
from homeostat.storage.bundles import champions, load_facts

#: Fewer labelled rows than this say nothing about performance.
MIN_LABELLED = 30
#: Since the inputs began to drift, performance looks back over so many windows at the most.
DRIFT_WINDOWS = 4
# What a model is good for is what its last champions were good for.
_CHAMPIONS = 8


@dataclass(frozen=True, slots=True)
class Labelled:
    """What labels say of one window.

    ``batch`` is the newest step's own score (None while its labels are pending), ``rows`` are its labelled
    rows, whichever version answered them, and ``harm`` is what is known of the answers since the inputs
    began to drift.
    """

    report: PerformanceReport
    batch: BatchScore | None
    rows: pd.DataFrame
    harm: Harm


def performance(
    looked: Looked,
    facts: Mapping[str, Any],
    end: datetime,
    reign: Sequence[WindowRecord],
    window: Window,
    drifting: datetime | None,
) -> Labelled:
    """Score the newest step whose labels should be there, and hold the last ones to the baseline.

    Parameters
    ----------
    facts
        What is known of the champion, see :func:`homeostat.storage.bundles.load_facts`.
    reign
        Records of the windows since this version became champion.
    window
        The window that is checked, for the estimate of its answers.
    drifting
        End of the first window of a run of drift that goes on; None when there is none.
    """
    config, champion = looked.config, looked.champion
    metric = config.served_metric
    rows = newest_labelled(looked, end)
    mine = rows[rows["_version"] == champion.version]
    batch = None
    if len(mine) >= MIN_LABELLED:
        label = mine[config.columns.label.name]
        truth = label.to_numpy() if config.task == "regression" else label_texts(label)
        answer = mine["_prediction"]
        said = answer.to_numpy() if config.task == "regression" else label_texts(answer)
        scores = all_metrics(config.task, truth, said, None, classes=_two_classes(looked))
        if metric in scores:  # f1 of a step without a positive row, for instance, is no score
            batch = BatchScore(end, scores[metric], len(mine))
    before = [
        BatchScore(record.window_end, record.score, record.labelled or record.rows)
        for record in reign
        if record.score is not None and record.window_end < end
    ]
    batches = [*before, *([batch] if batch else [])]
    since = [] if drifting is None else [b for b in batches if _of_drift(config, b, drifting, end)]
    report = assess(
        config,
        _baseline(facts, metric),
        batches,
        pending=len(mine) < MIN_LABELLED,
        metric=metric,
        since_drift=since,
        best=_best(looked, metric),
    ).with_estimate(estimated(looked, window.answers, mine, end))
    return Labelled(report, batch, rows, _harm(config, report, batches, since))


def _two_classes(looked: Looked) -> Sequence[str] | None:
    """The classes of a model that has two: where one is lacking, the other is not the positive one for it."""
    found = looked.reference.frames.features["prediction"]
    return found.labels if isinstance(found, CategoryFrame) and len(found.labels) == 2 else None


def _of_drift(config: ModelConfig, batch: BatchScore, drifting: datetime, end: datetime) -> bool:
    """Whether the batch's rows came after the inputs had begun to drift, and not too long ago."""
    first: datetime = drifting + config.columns.label.delay
    longest: timedelta = DRIFT_WINDOWS * config.monitor.window
    return batch.window_end >= first and batch.window_end > end - longest


def _baseline(facts: Mapping[str, Any], metric: str) -> Baseline:
    return Baseline(
        facts.get("metrics", {}).get(metric), int(facts.get("holdout_rows") or 0), facts.get("variance")
    )


def _best(looked: Looked, metric: str) -> float | None:
    """The best baseline of this model's last champions."""
    found = []
    for ref in list(dict.fromkeys(reversed(champions(looked.ports, looked.config.name))))[:_CHAMPIONS]:
        known = load_facts(looked.ports.store, looked.config.name, ref.digest).get("metrics", {}).get(metric)
        if known is not None:
            found.append(float(known))
    if not found:
        return None
    return max(found) if higher_is_better(metric) else min(found)


def _harm(
    config: ModelConfig,
    report: PerformanceReport,
    batches: Sequence[BatchScore],
    since: Sequence[BatchScore],
) -> Harm:
    """Labels have the first word; before they have come, the estimate, where it does not abstain.

    It sees what the shifted inputs do to the answers, not whether their meaning has shifted too. So it may
    call for a retrain by itself, but hold one back only while labels are on their way that have borne it
    out so far (otherwise it abstains).
    """
    if report.hurt:
        return "shown"
    if sum(batch.rows for batch in since) >= config.monitor.min_rows:
        return "not_shown"
    guess = report.estimate
    if guess is None or guess.low is None or guess.high is None or guess.baseline is None:
        return "unknown"
    if guess.high < guess.baseline - config.gate.max_regression:
        return "shown"
    backed = sum(batch.rows for batch in batches) >= config.monitor.min_rows
    return "not_shown" if backed and guess.low > guess.baseline - config.trigger.decay else "unknown"


def newest_labelled(looked: Looked, end: datetime) -> pd.DataFrame:
    """Rows of the newest step whose labels should be there by ``end``, those that have theirs."""
    known = end - looked.config.columns.label.delay
    return _labelled(looked, known - looked.config.monitor.every, known, end)


def _labelled(looked: Looked, start: datetime, end: datetime, known_by: datetime) -> pd.DataFrame:
    if looked.config.serve == "none":
        return score_in_batch(looked.config, looked.ports, looked.champion, start, end, label=True)
    return log.read_labelled(looked.ports.store, looked.config, start, end, known_by=known_by)
