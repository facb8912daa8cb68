"""Score a predictor on a holdout: metrics, missing answers, slices, and what one row costs."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from homeostat.bundle.predictor import Answers, Predictor
from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError, DataError
from homeostat.config.label_text import label_texts
from homeostat.core.performance import all_metrics, row_variance, score
from homeostat.core.profile import Kind, Outcomes, Reference, Season

#: The pseudo-columns of a reference; no feature may bear these names.
OUTPUTS = ("prediction", "confidence")
#: A slice with fewer rows says nothing.
MIN_SLICE = 30
_LATENCY_ROWS = 100
_LATENCY_TRIES = 3
_LATENCY_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a version did on a holdout.

    ``metrics`` are those of :func:`homeostat.core.performance.all_metrics` (a metric that these rows do not
    allow is left out); ``slices`` maps ``"season=1"`` to ``{"rows": ..., "score": ...}`` in the gate's
    metric; ``distinct_predictions`` counts different outputs (probabilities where there are some): 1
    means that the model answers the same whatever it is asked. ``p99_latency_ms`` is for single rows.
    ``variance`` is what one row adds to the uncertainty of ``served_metric``: divided by n it is the variance
    of a score over n rows. It is the larger of what rows in their order give (see
    :func:`homeostat.core.performance.row_variance`) and of what the scores of the holdout's own windows show,
    since a bad week makes all its rows worse together; None when neither is known.
    """

    metrics: dict[str, float]
    nan_rate: float
    p99_latency_ms: float | None
    slices: dict[str, dict[str, float]]
    distinct_predictions: int
    rows: int
    truth: np.ndarray
    answers: Answers
    classes: tuple[Any, ...] | None
    variance: float | None = None

    @property
    def predictions(self) -> np.ndarray:
        """The answers, one per row of the holdout."""
        return self.answers.prediction


def evaluate(
    config: ModelConfig, predictor: Predictor, holdout: pd.DataFrame, *, latency: bool = True
) -> Evaluation:
    """Score a predictor on labelled rows.

    Parameters
    ----------
    latency
        Time single rows too, which takes a second or so; otherwise ``p99_latency_ms`` is None.

    Raises
    ------
    DataError
        There is no labelled row.
    """
    truth = holdout[config.columns.label.name].to_numpy()
    answers = predictor.predict(holdout)
    classes = None if predictor.classes is None else tuple(predictor.classes.tolist())
    metrics = all_metrics(config.task, truth, answers.prediction, answers.proba, classes=classes)
    return Evaluation(
        metrics={name: value for name, value in metrics.items() if name not in ("rows", "nan_rate")},
        nan_rate=float(answers.missing.mean()),
        p99_latency_ms=p99_latency(predictor, holdout) if latency else None,
        slices=_slices(config, holdout, truth, answers, classes),
        distinct_predictions=_distinct(answers),
        rows=len(holdout),
        truth=truth,
        answers=answers,
        classes=classes,
        variance=_variance(config, holdout, truth, answers),
    )


def make_reference(config: ModelConfig, predictor: Predictor, holdout: pd.DataFrame) -> Reference:
    """Freeze what a version was used to: the holdout's features, and its own answers to them.

    From the holdout and never from training rows, to which a model answers with more confidence than
    to any it has not seen. Where the model has a season, its hours are counted one by one; where it gives
    a confidence, so is how often it was right at each.
    """
    clash = [name for name in OUTPUTS if name in config.columns.features]
    if clash:
        msg = (
            f"{config.folder / 'model.yaml'}, schema.features.{clash[0]}: this name is what the platform "
            f"calls a model's own output: rename the feature, for example to {clash[0]}_input"
        )
        raise ConfigError(msg)
    answers = _alone(predictor, holdout)
    kinds: dict[str, Kind] = dict(predictor.kinds)
    kinds["prediction"] = "category" if config.task == "classification" else "number"
    frame = holdout[list(predictor.kinds)].assign(prediction=answers.prediction)
    if answers.confidence is not None:
        kinds["confidence"] = "number"
        frame = frame.assign(confidence=answers.confidence)
    reference = Reference.of(frame, kinds)
    return replace(
        reference,
        season=_season(config, reference, frame, holdout),
        outcomes=_outcomes(config, reference, answers, holdout),
    )


def _alone(predictor: Predictor, holdout: pd.DataFrame) -> Answers:
    """Answers of one thread: a forest's add up its trees as they come, and the last bits with them."""
    from joblib import parallel_config

    with parallel_config(backend="sequential"):
        return predictor.predict(holdout)


def _season(
    config: ModelConfig, reference: Reference, frame: pd.DataFrame, holdout: pd.DataFrame
) -> Season | None:
    if config.monitor.season == "none":
        return None
    return Season.of(reference.frames, frame, holdout[config.columns.timestamp], config.monitor.season)


def _outcomes(
    config: ModelConfig, reference: Reference, answers: Answers, holdout: pd.DataFrame
) -> Outcomes | None:
    name = config.columns.label.name
    if config.task == "regression" or answers.confidence is None or name not in holdout:
        return None
    there = holdout[name].notna().to_numpy(dtype=bool)
    truth, said = (
        np.array(label_texts(v), object) for v in (holdout[name][there], answers.prediction[there])
    )
    confidence = pd.Series(answers.confidence[there])
    return Outcomes.of(reference.frames.features["confidence"], confidence, truth == said)


def _variance(
    config: ModelConfig, holdout: pd.DataFrame, truth: np.ndarray, answers: Answers
) -> float | None:
    metric = config.served_metric
    found: list[float] = []
    if metric == "accuracy":
        said, meant = (np.array(label_texts(v), object) for v in (answers.prediction, truth))
        found.append(row_variance(said == meant))
    elif metric == "mae":
        error = np.abs(np.asarray(truth, np.float64) - np.asarray(answers.prediction, np.float64))
        found.append(row_variance(error))
    moments = holdout[config.columns.timestamp]
    block = ((moments - moments.min()) // config.monitor.window).to_numpy()
    scores, rows = [], []
    for one in np.unique(block):
        at = np.flatnonzero(block == one)
        if len(at) < MIN_SLICE:
            continue
        with suppress(DataError):
            scores.append(score(config.task, metric, truth[at], answers.prediction[at]))
            rows.append(len(at))
    if len(scores) > 1:
        found.append(float(np.var(scores, ddof=1) * np.mean(rows)))
    return max(found, default=None)


def p99_latency(predictor: Predictor, holdout: pd.DataFrame) -> float:
    """What single rows cost, in milliseconds: the 99th percentile over rows spread over the holdout.

    Each row is asked a few times and its best time counts, on one thread as in the gateway: the gate
    asks what the model costs, not what else this machine was doing.
    """
    from threadpoolctl import threadpool_limits

    at = np.unique(np.linspace(0, len(holdout) - 1, min(_LATENCY_ROWS, len(holdout))).astype(int))
    singles = [holdout.iloc[[i]] for i in at]
    best: list[float] = []
    with threadpool_limits(limits=1):
        begun = time.perf_counter()
        for row in singles:
            best.append(min(_timed(predictor, row) for _ in range(_LATENCY_TRIES)))
            if time.perf_counter() - begun > _LATENCY_SECONDS:
                break
    return float(np.quantile(best, 0.99, method="higher"))


def _timed(predictor: Predictor, row: pd.DataFrame) -> float:
    before = time.perf_counter()
    predictor.predict(row)
    return (time.perf_counter() - before) * 1e3


def _slices(
    config: ModelConfig,
    holdout: pd.DataFrame,
    truth: np.ndarray,
    answers: Answers,
    classes: tuple[Any, ...] | None,
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name in config.gate.slices:
        for value, at in _groups(holdout[name], config.columns.features[name].type):
            if len(at) < MIN_SLICE:
                continue
            proba = None if answers.proba is None else answers.proba[at]
            try:
                points = score(
                    config.task, config.metric, truth[at], answers.prediction[at], proba, classes=classes
                )
            except DataError:  # one class in the slice, for instance: no score, and the gate says so
                continue
            found[f"{name}={value}"] = {"rows": len(at), "score": points}
    return found


def _groups(column: pd.Series, kind: str) -> list[tuple[str, np.ndarray]]:
    """Row positions by value; of a number by quarter of its values, the same for every model."""
    if kind == "number":
        try:
            column = pd.qcut(column, 4, duplicates="drop").astype("str")
        except ValueError:  # nothing but missing values
            return []
    column = column.reset_index(drop=True)
    return [(str(value), np.asarray(at)) for value, at in column.groupby(column).indices.items()]


def _distinct(answers: Answers) -> int:
    if answers.proba is not None:
        return len(np.unique(np.round(answers.proba[~answers.missing], 9), axis=0))
    return len(pd.unique(pd.Series(answers.prediction[~answers.missing])))
