"""One call of a version's predictor over the rows of several requests, and what is wrong with its answers."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from homeostat.config.label_text import label_texts
from homeostat.serving.scoring_request import InputSpec, Rows

logger = logging.getLogger(__name__)

_WARM_SECONDS = 1.0


class AnswersLike(Protocol):
    """What a predictor answers."""

    @property
    def prediction(self) -> Any:
        """One answer per row."""

    @property
    def confidence(self) -> Any:
        """The largest class probability per row, or None."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """A loaded version, ready to answer.

    ``predict`` takes the typed rows of a batch. ``classes`` (classification) or ``bounds`` (regression)
    say which answers are out of range; None means that every answer is in range.
    """

    version: str
    digest: str
    predict: Callable[[Sequence[Rows]], AnswersLike]
    classes: frozenset[str] | None = None
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """A version's answers to one request.

    ``nan`` and ``out_of_range`` count bad answers; ``latency_ms`` is the predict call's own time,
    without waiting: what the version costs, not what its neighbours do. ``timed`` is True for one
    request of a batch: one call is one measurement, however many requests it answered.
    """

    predictions: list[Any]
    confidence: list[float | None] | None
    latency_ms: float
    nan: int = 0
    out_of_range: int = 0
    timed: bool = True

    @property
    def good(self) -> bool:
        """Whether every answer may be given to a client."""
        return not (self.nan or self.out_of_range)


class PredictFailed(Exception):
    """The predictor raised, or did not answer one value a row. ``latency_ms`` is how long that took."""

    def __init__(self, sentence: str, latency_ms: float = 0.0) -> None:
        super().__init__(sentence)
        self.latency_ms = latency_ms


def frame_of(batch: Sequence[Rows], spec: InputSpec) -> pd.DataFrame:
    """The rows of a batch as the frame that pipelines are fitted on: float64 and str columns."""
    data = {
        name: np.array(_joined(batch, i), dtype=np.float64) if numeric else _texts(_joined(batch, i))
        for i, (name, numeric) in enumerate(zip(spec.names, spec.numeric, strict=True))
    }
    return pd.DataFrame(data, copy=False)


def _texts(values: list[str | None]) -> Any:
    return pd.array(values, dtype="str")


def matrix_of(batch: Sequence[Rows]) -> np.ndarray:
    """The rows of a batch of numbers as a float64 matrix, one row a row."""
    if len(batch) == 1:
        return np.array(batch[0].columns, dtype=np.float64).T
    return np.concatenate([np.array(rows.columns, dtype=np.float64) for rows in batch], axis=1).T


def _joined(batch: Sequence[Rows], column: int) -> list[Any]:
    if len(batch) == 1:
        return batch[0].columns[column]
    return [value for rows in batch for value in rows.columns[column]]


def predictor_call(predictor: Any, spec: InputSpec) -> Callable[[Sequence[Rows]], AnswersLike]:
    """Choose the cheapest way to ask this predictor: a bare matrix where it needs no column names."""
    if spec.all_numeric and callable(getattr(predictor, "predict_matrix", None)):
        return lambda batch: predictor.predict_matrix(matrix_of(batch))
    ask = getattr(predictor, "predict_typed", predictor.predict)
    return lambda batch: ask(frame_of(batch, spec))


def score(scorer: Scorer, batch: Sequence[Rows]) -> list[Scored | PredictFailed]:
    """Predict for every request of a batch with one call.

    When the call fails, each request is tried alone, so that one poisonous row spoils nobody else's
    answer.
    """
    try:
        return list(_score(scorer, batch))
    except PredictFailed as error:
        if len(batch) == 1:
            return [error]
    results: list[Scored | PredictFailed] = []
    for rows in batch:
        try:
            results.extend(_score(scorer, [rows]))
        except PredictFailed as error:
            results.append(error)
    return results


def _score(scorer: Scorer, batch: Sequence[Rows]) -> list[Scored]:
    count = sum(rows.count for rows in batch)
    begun = time.perf_counter()
    try:
        answers = scorer.predict(batch)
        values, confidence = _checked(answers, count)
    except Exception as error:
        spent = (time.perf_counter() - begun) * 1e3
        logger.debug("version %s failed: %s", scorer.version, type(error).__name__)
        # Only the kind: a message of numpy's or scikit-learn's may quote the rows.
        msg = f"version {scorer.version} raised {type(error).__name__}"
        raise PredictFailed(msg, spent) from error
    spent = (time.perf_counter() - begun) * 1e3
    nan, outside = judge(values, scorer.classes, scorer.bounds)
    any_bad = bool(nan.any() or outside.any())
    plain = values.tolist()
    sure = None if confidence is None else confidence.tolist()
    scored: list[Scored] = []
    start = 0
    for rows in batch:
        end = start + rows.count
        scored.append(
            Scored(
                plain[start:end],
                None if sure is None else sure[start:end],
                spent,
                int(nan[start:end].sum()) if any_bad else 0,
                int(outside[start:end].sum()) if any_bad else 0,
                timed=not scored,
            )
        )
        start = end
    return scored


def _checked(answers: AnswersLike, count: int) -> tuple[np.ndarray, np.ndarray | None]:
    values = np.asarray(answers.prediction)
    if values.shape != (count,):
        msg = f"{values.shape} answers to {count} rows"
        raise ValueError(msg)
    confidence = None if answers.confidence is None else np.asarray(answers.confidence, dtype=np.float64)
    return values, confidence


def judge(
    values: np.ndarray, classes: frozenset[str] | None, bounds: tuple[float, float] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Two masks: answers that are missing or not finite, and answers that no good version would give."""
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
    """Ask a version a few times before it answers anybody: its slow first calls must not count against it.

    What it answers, or whether it likes such rows, does not matter.
    """
    end = time.monotonic() + _WARM_SECONDS
    for count in (1, 8) * 5:
        columns = tuple(
            [0.0 if numeric else min(known, default=None) if known else None] * count
            for numeric, known in zip(spec.numeric, spec.categories, strict=True)
        )
        with contextlib.suppress(Exception):
            scorer.predict([Rows(count, columns)])
        if time.monotonic() > end:
            return


def scorer_of(
    version: str, digest: str, predictor: Any, manifest: Mapping[str, Any], spec: InputSpec
) -> Scorer:
    """Make a loaded bundle ready to answer; the manifest says what its answers may be."""
    classes = manifest.get("classes")
    bounds = prediction_range(manifest)
    return Scorer(
        version,
        digest,
        predictor_call(predictor, spec),
        frozenset(t for t in label_texts(classes) if t is not None) if classes else None,
        bounds,
    )


def prediction_range(manifest: Mapping[str, Any]) -> tuple[float, float] | None:
    """Lowest and highest plausible prediction of a regression, as its bundle's manifest says."""
    bounds = manifest.get("prediction_range")
    return (float(bounds[0]), float(bounds[1])) if bounds else None
