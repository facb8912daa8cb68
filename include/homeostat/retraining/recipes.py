"""One version: what to learn from, judged on the holdout, and fitted again on all of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from homeostat.bundle.predictor import Predictor
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError, PipelineError
from homeostat.config.model import Window
from homeostat.core.performance import higher_is_better, score
from homeostat.core.training_data import recency_weights
from homeostat.retraining.fit import fit, takes_weights


@dataclass(frozen=True, slots=True)
class Fitted:
    """A version to be, and who may speak for it.

    ``estimator`` is what will serve. ``judge`` learnt in the same way from everything before the holdout:
    what it does there is what may be expected of ``estimator`` on rows that nobody has seen. Both are
    one where ``training.refit`` is off. ``recipe`` says in words what was learnt from; ``scores`` are
    those of every recipe that was tried, in the gate's metric on the holdout.
    """

    estimator: Any
    judge: Any
    recipe: str
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Recipe:
    name: str
    length: timedelta | None = None  # only rows this recent
    half_life: timedelta | None = None  # older rows weigh less


def fit_version(
    config: ModelConfig,
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    until: datetime,
    spec: str | None = None,
) -> Fitted:
    """Fit a version on the rows before the holdout, choose by it, and fit again on all rows.

    With ``training.window.kind: auto`` two ways of learning compete on the holdout, since no stretch of the
    past suits every stream: the whole window, with recent rows outweighing old ones by a half-life of a
    quarter of its length (all alike, where the estimator takes no weights), and its last third alone.

    The holdout is the most recent and so the most precious part of the data. Where the world moves,
    a version that never learnt from it is stale before it serves; so the recipe that the holdout has
    judged is fitted once more with it (``training.refit``), as after any cross-validation. Shadow and
    canary then watch the very version that will serve.

    Parameters
    ----------
    config
        The model.
    train, holdout
        Conformed rows with their label, ``holdout`` the later ones.
    until
        The end of the window, at which a row's weight is 1.
    spec
        Another pipeline than model.yaml's, as ``pipeline.py:function``.

    Raises
    ------
    SingleClass, PipelineError
        As :func:`~homeostat.retraining.fit.fit` does.
    """
    recipes = _recipes(config, spec)
    judges: dict[str, Any] = {}
    scores: dict[str, float] = {}
    for recipe in recipes:
        try:
            rows = _recent(train, recipe, config, until)
            judges[recipe.name] = fit(config, rows, _weights(rows, recipe, config, until), spec)
        except (DataError, PipelineError):  # a pipeline may ask for more rows than a part of the window has
            if recipe is recipes[0]:
                raise
            continue
        if len(recipes) > 1:
            with suppress(DataError):  # no metric for these rows: the gate will say so
                scores[recipe.name] = _score(config, judges[recipe.name], holdout)
    best = recipes[0]
    if scores:
        sign = 1 if higher_is_better(config.metric) else -1
        best = max((r for r in recipes if r.name in scores), key=lambda r: sign * scores[r.name])
    judge = judges[best.name]
    if not config.training.refit:
        return Fitted(judge, judge, best.name, scores)
    rows = _recent(pd.concat([train, holdout], ignore_index=True), best, config, until)
    estimator = fit(config, rows, _weights(rows, best, config, until), spec)
    return Fitted(estimator, judge, best.name, scores)


def _recipes(config: ModelConfig, spec: str | None) -> list[_Recipe]:
    """What to try; the first one must work, the others may fail for want of rows."""
    window: Window = config.training.window
    if window.kind == "recency":
        return [_Recipe("recency", half_life=window.half_life)]
    if window.kind != "auto" or window.length is None:
        return [_Recipe(window.kind)]
    whole = _Recipe("whole window")
    if takes_weights(config, spec):
        whole = replace(whole, name="whole window, recent rows weigh more", half_life=window.length / 4)
    return [whole, _Recipe("last third", length=window.length / 3)]


def _recent(rows: pd.DataFrame, recipe: _Recipe, config: ModelConfig, until: datetime) -> pd.DataFrame:
    if recipe.length is None:
        return rows
    kept = rows[rows[config.columns.timestamp] >= until - recipe.length].reset_index(drop=True)
    if len(kept) < min(config.training.min_rows, len(rows)):
        msg = f"{config.name}: only {len(kept)} rows in the last {recipe.length}"
        raise DataError(msg)
    return kept


def _weights(rows: pd.DataFrame, recipe: _Recipe, config: ModelConfig, until: datetime) -> np.ndarray | None:
    if recipe.half_life is None:
        return None
    return recency_weights(rows[config.columns.timestamp], until, recipe.half_life)


def _score(config: ModelConfig, judge: Any, holdout: pd.DataFrame) -> float:
    predictor = Predictor.of(config, judge)
    answers = predictor.predict(holdout)
    classes = None if predictor.classes is None else predictor.classes.tolist()
    truth = holdout[config.columns.label.name].to_numpy()
    return score(config.task, config.metric, truth, answers.prediction, answers.proba, classes=classes)
