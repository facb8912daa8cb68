"""Score a predictor on a holdout: metrics, missing predictions and slices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from homeostat.bundle.predictor import Predictions, Predictor
from homeostat.bundle.slice_scores import score_slices, slice_reference, slices_of
from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError, DataError
from homeostat.config.label_text import label_texts
from homeostat.core.performance import all_metrics, row_variance, score, why_undefined
from homeostat.core.profile import MIN_SLICE_ROWS, CalibrationCounts, FeatureKind, Reference, Season
from homeostat.core.profile.coerce import Ints

#: Columns of a reference profile besides the features; no feature may have these names.
OUTPUTS = ("prediction", "confidence")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A version's scores on a holdout.

    ``metrics`` are those of :func:`homeostat.core.performance.all_metrics` (a metric that cannot be computed
    on these rows is left out); ``slices`` maps ``"season=1"`` to ``{"rows": ..., "score": ...}`` in the
    gate's metric; ``distinct_predictions`` counts different outputs (probabilities where the model has them):
    1 for a constant model. ``variance`` is the variance of ``served_metric`` per row: divided by n it is the
    variance of a score over n rows. It is the larger of two estimates: from the rows in their order (see
    :func:`homeostat.core.performance.row_variance`), and from the scores of the holdout's own windows, since
    a bad week makes all its rows worse together. None when neither is known. ``positive`` is the class that
    F1 is of, None for the mean over all. ``undefined`` says why ``metrics`` lacks the gate's metric.
    """

    metrics: dict[str, float]
    nan_rate: float
    slices: dict[str, dict[str, float]]
    distinct_predictions: int
    rows: int
    truth: np.ndarray
    predictions: Predictions
    classes: tuple[Any, ...] | None
    variance: float | None = None
    positive: str | None = None
    undefined: str = ""

    @property
    def predicted(self) -> np.ndarray:
        """Return the prediction of each row of the holdout, shape (n,)."""
        return self.predictions.prediction


def evaluate(
    config: ModelConfig,
    predictor: Predictor,
    holdout: pd.DataFrame,
    *,
    known: Iterable[Any] = (),
    slices: Mapping[str, Ints] | None = None,
) -> Evaluation:
    """Score a predictor on labelled rows.

    Parameters
    ----------
    known
        Classes of the data, besides the predictor's own and those of the holdout.
    slices
        Row positions of each slice to score; None: those of ``gate.slices`` in the holdout.

    Raises
    ------
    DataError
        There is no labelled row.
    """
    truth = holdout[config.columns.label.name].to_numpy()
    predictions = predictor.predict(holdout)
    classes = None if predictor.classes is None else tuple(predictor.classes.tolist())
    positive = config.columns.label.positive
    how: dict[str, Any] = {"classes": classes, "positive": positive, "known": tuple(known)}
    rows = truth, predictions.prediction, predictions.proba
    metrics = all_metrics(config.task, *rows, **how)
    undefined = config.metric not in metrics
    return Evaluation(
        metrics={name: value for name, value in metrics.items() if name not in ("rows", "nan_rate")},
        nan_rate=float(predictions.missing.mean()),
        slices=score_slices(
            config, slices_of(config, holdout) if slices is None else slices, truth, predictions, how
        ),
        distinct_predictions=_distinct(predictions),
        rows=len(holdout),
        truth=truth,
        predictions=predictions,
        classes=classes,
        variance=_variance(config, holdout, truth, predictions, how),
        positive=positive,
        undefined=why_undefined(config.task, config.metric, *rows, **how) if undefined else "",
    )


def make_reference(
    config: ModelConfig,
    predictor: Predictor,
    holdout: pd.DataFrame,
    *,
    before: pd.DataFrame | None = None,
) -> Reference:
    """Build a version's reference profile: the holdout's features and the version's predictions of them.

    From the holdout and never from training rows, on which a model is more confident than on new ones. With
    ``monitor.season``, each hour is counted separately; for a model with a confidence, so is how often its
    predictions were right at each confidence.

    Parameters
    ----------
    before
        Rows before the holdout to count too, where the holdout is short: their features and predictions.
        Their confidence counts as missing, since the version has learned them.
    """
    clash = [name for name in OUTPUTS if name in config.columns.features]
    if clash:
        msg = (
            f"{config.folder / 'model.yaml'}, schema.features.{clash[0]}: this name is reserved for the "
            f"model's own output: rename the feature, for example to {clash[0]}_input"
        )
        raise ConfigError(msg)
    predictions = _predict_on_one_thread(predictor, holdout)
    rows = holdout
    predicted, confidence = predictions.prediction, predictions.confidence
    if before is not None and len(before):
        rows = pd.concat([before, holdout], ignore_index=True)
        learned = _predict_on_one_thread(predictor, before)
        predicted = np.concatenate([learned.prediction, predicted])
        if confidence is not None:
            confidence = np.concatenate([np.full(len(before), np.nan), confidence])
    kinds: dict[str, FeatureKind] = dict(predictor.kinds)
    kinds["prediction"] = "category" if config.task == "classification" else "number"
    frame = rows[list(predictor.kinds)].assign(prediction=predicted)
    if confidence is not None:
        kinds["confidence"] = "number"
        frame = frame.assign(confidence=confidence)
    reference = Reference.fit(frame, kinds)
    reference = replace(reference, season=_season(config, reference, frame, rows))
    return replace(
        reference,
        calibration=_calibration_counts(config, reference, predictions, holdout),
        slices=slice_reference(config, reference, frame, rows),
    )


def _predict_on_one_thread(predictor: Predictor, holdout: pd.DataFrame) -> Predictions:
    """Predict on one thread: on several, a forest sums its trees in any order, and the last bits vary."""
    from joblib import parallel_config

    with parallel_config(backend="sequential"):
        return predictor.predict(holdout)


def _season(
    config: ModelConfig, reference: Reference, frame: pd.DataFrame, holdout: pd.DataFrame
) -> Season | None:
    if config.monitor.season == "none":
        return None
    return Season.from_rows(reference.edges, frame, holdout[config.columns.timestamp], config.monitor.season)


def _calibration_counts(
    config: ModelConfig, reference: Reference, predictions: Predictions, holdout: pd.DataFrame
) -> CalibrationCounts | None:
    name = config.columns.label.name
    if config.task == "regression" or predictions.confidence is None or name not in holdout:
        return None
    present = holdout[name].notna().to_numpy(dtype=bool)
    truth, predicted = (
        np.array(label_texts(v), object) for v in (holdout[name][present], predictions.prediction[present])
    )
    confidence = pd.Series(predictions.confidence[present])
    return CalibrationCounts.from_rows(reference.edges.features["confidence"], confidence, truth == predicted)


def _variance(
    config: ModelConfig,
    holdout: pd.DataFrame,
    truth: np.ndarray,
    predictions: Predictions,
    how: dict[str, Any],
) -> float | None:
    metric = config.served_metric
    found: list[float] = []
    if metric == "accuracy":
        predicted, meant = (np.array(label_texts(v), object) for v in (predictions.prediction, truth))
        found.append(row_variance(predicted == meant))
    elif metric == "mae":
        error = np.abs(np.asarray(truth, np.float64) - np.asarray(predictions.prediction, np.float64))
        found.append(row_variance(error))
    moments = holdout[config.columns.timestamp]
    block = ((moments - moments.min()) // config.monitor.window).to_numpy()
    scores, rows = [], []
    for one in np.unique(block):
        at = np.flatnonzero(block == one)
        if len(at) < MIN_SLICE_ROWS:
            continue
        with suppress(DataError):
            scores.append(score(config.task, metric, truth[at], predictions.prediction[at], **how))
            rows.append(len(at))
    if len(scores) > 1:
        found.append(float(np.var(scores, ddof=1) * np.mean(rows)))
    return max(found, default=None)


def _distinct(predictions: Predictions) -> int:
    if predictions.proba is not None:
        return len(np.unique(np.round(predictions.proba[~predictions.missing], 9), axis=0))
    return len(pd.unique(pd.Series(predictions.prediction[~predictions.missing])))
