"""Call a version's predictor for the rows of several requests, and count invalid predictions."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from homeostat.config.label_text import FIRST_SPELLING, SPELLING, label_texts
from homeostat.serving.scoring_request import InputSpec, Rows

logger = logging.getLogger(__name__)

_WARM_UP_SECONDS = 1.0


class PredictionsLike(Protocol):
    """The return value of a predictor."""

    @property
    def prediction(self) -> Any:
        """One prediction per row."""

    @property
    def confidence(self) -> Any:
        """The probability of the predicted class per row, or None."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """A loaded version, ready to predict.

    ``predict`` takes the typed rows of a batch. Predictions outside ``classes`` (classification) or
    ``bounds`` (regression) are out of range; None means that no prediction is. ``labels`` are the classes in
    the order of the probabilities.
    """

    version: str
    digest: str
    predict: Callable[[Sequence[Rows]], PredictionsLike]
    classes: frozenset[str] | None = None
    labels: tuple[Any, ...] = ()
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class ClassProbabilities:
    """The probability of each class for each row: ``proba`` of shape (rows, classes), NaN for unknown."""

    classes: tuple[Any, ...]
    proba: np.ndarray


@dataclass(frozen=True, slots=True)
class ScoredRequest:
    """A version's predictions for one request.

    ``nan`` and ``out_of_range`` count invalid predictions. ``latency_ms`` is the duration of the predict call
    without waiting times, so that it depends on the version and not on other load. ``timed`` is True for one
    request per batch: one call is one measurement, whatever the number of requests. ``started`` is when the
    call began, by ``time.perf_counter``.
    """

    predictions: list[Any]
    confidence: list[float | None] | None
    latency_ms: float
    nan: int = 0
    out_of_range: int = 0
    timed: bool = True
    probabilities: ClassProbabilities | None = None
    started: float = 0.0

    @property
    def valid(self) -> bool:
        """Whether all predictions are numbers and in range."""
        return not (self.nan or self.out_of_range)


class PredictFailed(Exception):
    """The predictor raised, or did not return one value per row; ``latency_ms`` is the call's duration."""

    def __init__(self, sentence: str, latency_ms: float = 0.0) -> None:
        super().__init__(sentence)
        self.latency_ms = latency_ms


def to_frame(batch: Sequence[Rows], spec: InputSpec, spelling: int = SPELLING) -> pd.DataFrame:
    """Return a batch as the frame that pipelines are fitted on: float64 and str columns.

    Categories are spelled by the rules of :mod:`homeostat.config.label_text` with this number.
    """
    joined = _joined if spelling > FIRST_SPELLING else _joined_as_received
    data = {
        name: np.array(_joined(batch, i), dtype=np.float64) if numeric else _texts(joined(batch, i))
        for i, (name, numeric) in enumerate(zip(spec.names, spec.numeric, strict=True))
    }
    return pd.DataFrame(data, copy=False)


def _texts(values: list[str | None]) -> Any:
    return pd.array(values, dtype="str")


def to_matrix(batch: Sequence[Rows]) -> np.ndarray:
    """Return a batch of numbers as a float64 matrix of shape (rows, features)."""
    if len(batch) == 1:
        return np.array(batch[0].columns, dtype=np.float64).T
    return np.concatenate([np.array(rows.columns, dtype=np.float64) for rows in batch], axis=1).T


def _joined(batch: Sequence[Rows], column: int) -> list[Any]:
    if len(batch) == 1:
        return batch[0].columns[column]
    return [value for rows in batch for value in rows.columns[column]]


def _joined_as_received(batch: Sequence[Rows], column: int) -> list[Any]:
    return [value for rows in batch for value in rows.as_received(column)]


def choose_predict_call(predictor: Any, spec: InputSpec) -> Callable[[Sequence[Rows]], PredictionsLike]:
    """Choose the fastest way to call a predictor: with a matrix when it needs no column names."""
    if spec.all_numeric and callable(getattr(predictor, "predict_matrix", None)):
        return lambda batch: predictor.predict_matrix(to_matrix(batch))
    predict = getattr(predictor, "predict_typed", predictor.predict)
    spelling = getattr(predictor, "spelling", SPELLING)
    return lambda batch: predict(to_frame(batch, spec, spelling))


def score(scorer: Scorer, batch: Sequence[Rows]) -> list[ScoredRequest | PredictFailed]:
    """Predict for every request of a batch with one call.

    When the call fails, each request is predicted alone, so that one request's rows cannot fail another's.
    """
    try:
        return list(_score(scorer, batch))
    except PredictFailed as error:
        if len(batch) == 1:
            return [error]
    results: list[ScoredRequest | PredictFailed] = []
    for rows in batch:
        try:
            results.extend(_score(scorer, [rows]))
        except PredictFailed as error:
            results.append(error)
    return results


def _score(scorer: Scorer, batch: Sequence[Rows]) -> list[ScoredRequest]:
    count = sum(rows.count for rows in batch)
    begun = time.perf_counter()
    try:
        result = scorer.predict(batch)
        values, confidence = _as_arrays(result, count)
    except Exception as error:
        spent = (time.perf_counter() - begun) * 1e3
        logger.debug("version %s failed: %s", scorer.version, type(error).__name__)
        # Only the error's type: a message of numpy or scikit-learn may quote the rows.
        msg = f"version {scorer.version} raised {type(error).__name__}"
        raise PredictFailed(msg, spent) from error
    spent = (time.perf_counter() - begun) * 1e3
    nan, outside = find_invalid(values, scorer.classes, scorer.bounds)
    proba = _probabilities(scorer, result, count)
    any_invalid = bool(nan.any() or outside.any())
    predictions = values.tolist()
    confidences = None if confidence is None else confidence.tolist()
    scored: list[ScoredRequest] = []
    start = 0
    for rows in batch:
        end = start + rows.count
        scored.append(
            ScoredRequest(
                predictions[start:end],
                None if confidences is None else confidences[start:end],
                spent,
                int(nan[start:end].sum()) if any_invalid else 0,
                int(outside[start:end].sum()) if any_invalid else 0,
                timed=not scored,
                probabilities=None if proba is None else ClassProbabilities(scorer.labels, proba[start:end]),
                started=begun,
            )
        )
        start = end
    return scored


def _as_arrays(result: PredictionsLike, count: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return predictions and confidence as arrays; ValueError unless there is one prediction per row."""
    values = np.asarray(result.prediction)
    if values.shape != (count,):
        msg = f"predictions of shape {values.shape} for {count} rows"
        raise ValueError(msg)
    confidence = None if result.confidence is None else np.asarray(result.confidence, dtype=np.float64)
    return values, confidence


def merged_probabilities(
    count: int, parts: Sequence[tuple[Sequence[int], ClassProbabilities | None]]
) -> ClassProbabilities | None:
    """Return the probabilities of a request whose rows several versions predicted.

    Parameters
    ----------
    count
        The rows of the request.
    parts
        For each version, the positions of its rows and their probabilities. A class that one version does not
        know has probability 0 for its rows; None where a version has no probabilities.
    """
    known = [part for _, part in parts if part is not None]
    if len(known) < len(parts) or not known:
        return None
    classes = tuple(dict.fromkeys(label for part in known for label in part.classes))
    merged = np.zeros((count, len(classes)))
    for at, part in parts:
        if part is not None:
            columns = [classes.index(label) for label in part.classes]
            merged[np.ix_(at, columns)] = part.proba
    return ClassProbabilities(classes, merged)


def _probabilities(scorer: Scorer, result: PredictionsLike, count: int) -> np.ndarray | None:
    """Return the probabilities, shape (rows, classes); None for a version without them."""
    proba = getattr(result, "proba", None)
    return proba if proba is not None and np.shape(proba) == (count, len(scorer.labels)) else None


def find_invalid(
    values: np.ndarray, classes: frozenset[str] | None, bounds: tuple[float, float] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return two masks: predictions that are missing or not finite, and predictions that are out of range."""
    if values.dtype.kind == "f":
        nan = ~np.isfinite(values)
    elif values.dtype.kind in "iub":
        nan = np.zeros(len(values), dtype=bool)
    else:
        nan = np.array([text is None for text in label_texts(values.tolist())], dtype=bool)
    outside = np.zeros(len(values), dtype=bool)
    if bounds is not None and values.dtype.kind in "fiu":
        outside = ~nan & ((values < bounds[0]) | (values > bounds[1]))
    elif classes is not None:
        outside = ~nan & np.array([text not in classes for text in label_texts(values.tolist())], dtype=bool)
    return nan, outside


def warm_up(scorer: Scorer, spec: InputSpec) -> None:
    """Call a version a few times before it serves, so that its slow first calls do not count as latency.

    The predictions are ignored, and so are errors: the rows are made up.
    """
    end = time.monotonic() + _WARM_UP_SECONDS
    for count in (1, 8) * 5:
        columns = tuple(
            [0.0 if numeric else min(known, default=None) if known else None] * count
            for numeric, known in zip(spec.numeric, spec.categories, strict=True)
        )
        with contextlib.suppress(Exception):
            scorer.predict([Rows(count, columns)])
        if time.monotonic() > end:
            return


def make_scorer(
    version: str, digest: str, predictor: Any, manifest: Mapping[str, Any], spec: InputSpec
) -> Scorer:
    """Return the scorer of a loaded bundle; its manifest names the valid predictions."""
    classes = manifest.get("classes")
    bounds = prediction_range(manifest)
    return Scorer(
        version,
        digest,
        choose_predict_call(predictor, spec),
        frozenset(t for t in label_texts(classes) if t is not None) if classes else None,
        tuple(classes or ()),
        bounds,
    )


def prediction_range(manifest: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the lowest and highest plausible prediction of a regression, from its bundle's manifest."""
    bounds = manifest.get("prediction_range")
    return (float(bounds[0]), float(bounds[1])) if bounds else None
