"""Choose which rows to train on by the score on the holdout, then fit again on all of them."""

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
class FittedVersion:
    """The fitted estimators of a version.

    ``estimator`` will serve. ``holdout_estimator`` was fitted in the same way on the rows before the holdout:
    its score on the holdout is the expected score of ``estimator`` on new rows. Both are the same object
    where ``training.refit`` is false. ``recipe`` describes the training rows; ``scores`` has the holdout
    score of each recipe that was tried, in the gate's metric.
    """

    estimator: Any
    holdout_estimator: Any
    recipe: str
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Probe:
    """An estimator fitted on the rows before the holdout, and the recipe that was chosen by the holdout.

    ``scores`` has the holdout score of each recipe that was tried, in the gate's metric.
    """

    estimator: Any
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
) -> FittedVersion:
    """Fit a version without the holdout, then again on all rows: :func:`probe_version`, `refit_version`."""
    probe = probe_version(config, train, holdout, until, spec)
    estimator = probe.estimator
    if config.training.refit:
        estimator = refit_version(config, train, holdout, until, probe.recipe, spec)
    return FittedVersion(estimator, probe.estimator, probe.recipe, probe.scores)


def probe_version(
    config: ModelConfig,
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    until: datetime,
    spec: str | None = None,
) -> Probe:
    """Fit each recipe on the rows before the holdout and choose by the holdout score.

    With ``training.window.kind: auto`` there are two recipes, since no window length suits every stream: the
    whole window, weighted with a half-life of a quarter of its length (equally, where the estimator takes no
    weights), and the last third of the window.

    Parameters
    ----------
    config
        The model.
    train, holdout
        Rows of the schema's types with their label, ``holdout`` the later ones.
    until
        The end of the window, at which a row's weight is 1.
    spec
        A pipeline to use instead of model.yaml's, as ``pipeline.py:function``.

    Raises
    ------
    SingleClass, PipelineError
        As :func:`~homeostat.retraining.fit.fit` does.
    """
    recipes = _recipes(config, spec)
    estimators: dict[str, Any] = {}
    scores: dict[str, float] = {}
    for recipe in recipes:
        try:
            rows = _recent(train, recipe, config, until)
            estimators[recipe.name] = fit(config, rows, _weights(rows, recipe, config, until), spec)
        except (DataError, PipelineError):  # a pipeline may need more rows than a part of the window has
            if recipe is recipes[0]:
                raise
            continue
        if len(recipes) > 1:
            with suppress(DataError):  # the metric cannot be computed: the gate reports it
                scores[recipe.name] = _score(config, estimators[recipe.name], holdout)
    best = recipes[0].name
    if scores:
        sign = 1 if higher_is_better(config.metric) else -1
        best = max(scores, key=lambda name: sign * scores[name])
    return Probe(estimators[best], best, scores)


def refit_version(
    config: ModelConfig,
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    until: datetime,
    recipe: str,
    spec: str | None = None,
) -> Any:
    """Return the estimator of a probe's recipe, fitted on all rows, the holdout's too.

    The holdout has the most recent rows. On a drifting stream, a version that was not fitted on them is stale
    before it serves, so the chosen recipe is fitted once more with the holdout (``training.refit``), as after
    a cross-validation. Shadow and canary then check that very version. Parameters and errors are those of
    :func:`probe_version`, ``recipe`` the probe's.
    """
    best = next(each for each in _recipes(config, spec) if each.name == recipe)
    rows = _recent(pd.concat([train, holdout], ignore_index=True), best, config, until)
    return fit(config, rows, _weights(rows, best, config, until), spec)


def _recipes(config: ModelConfig, spec: str | None) -> list[_Recipe]:
    """Return the recipes to try. The first one must work; the others may fail for lack of rows."""
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


def _score(config: ModelConfig, holdout_estimator: Any, holdout: pd.DataFrame) -> float:
    predictor = Predictor.of(config, holdout_estimator)
    found = predictor.predict(holdout)
    classes = None if predictor.classes is None else predictor.classes.tolist()
    truth = holdout[config.columns.label.name].to_numpy()
    return score(
        config.task,
        config.metric,
        truth,
        found.prediction,
        found.proba,
        classes=classes,
        positive=config.columns.label.positive,
    )
