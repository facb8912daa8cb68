"""Fit the user's pipeline on a snapshot's training rows."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pandas as pd

from homeostat.bundle.boosters.labels import EncodedLabels, encode_labels
from homeostat.bundle.boosters.prepare import needs_encoded_labels, prepare
from homeostat.bundle.failures import estimator_failure
from homeostat.bundle.inputs import model_inputs, takes_matrix
from homeostat.bundle.pipeline import load_pipeline, pipeline_name
from homeostat.bundle.threshold import positive_position
from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError, PipelineError, SingleClass
from homeostat.core.training_data import why_not_classes
from homeostat.retraining.early_stopping import with_fixed_rounds
from homeostat.retraining.fit_cache import find_fit, fit_key, keep_fit


def check_label(config: ModelConfig, train: pd.DataFrame) -> None:
    """Check that a model can be fitted on this label.

    Raises
    ------
    SingleClass
        A classification with fewer than two classes.
    ConfigError
        A classification whose label is a measure: it has about as many values as rows. Or a ``threshold``
        without a positive class.
    """
    label = train[config.columns.label.name]
    if config.task == "classification" and label.nunique() < 2:
        only = repr(label.tolist()[0]) if len(label) else "none"
        msg = (
            f"{config.name}: the {len(train)} training rows have one class ({only}) of "
            f"'{config.columns.label.name}', at least two are needed: lengthen training.window, or check how "
            "the label is made"
        )
        raise SingleClass(msg)
    if config.task == "classification" and (reason := why_not_classes(label)):
        name = config.columns.label.name
        msg = f"{config.name}: the label '{name}' {reason}"
        raise ConfigError(msg)
    if config.threshold is not None:
        positive_position(label.unique(), config.columns.label.positive, config.name)


def fit(config: ModelConfig, train: pd.DataFrame, weights: np.ndarray | None, spec: str | None = None) -> Any:
    """Build the pipeline and fit it on the features and the label.

    When all features are numbers and no step selects columns by name, it is fitted on a plain float64
    matrix, which makes predicting single rows several times faster; otherwise on a DataFrame.

    Parameters
    ----------
    config
        The model.
    train
        Rows of the schema's types, with their label.
    weights
        One per row, passed to the last step as ``sample_weight``; None for equal weights.
    spec
        A pipeline to use instead of model.yaml's, as ``pipeline.py:function``.

    Raises
    ------
    SingleClass
        A classification with fewer than two classes; nothing is fitted.
    ConfigError
        A classification whose label is a measure: it has about as many values as rows. Or a ``threshold``
        without a positive class.
    PipelineError
        The pipeline cannot be imported, built or fitted, or takes no weights; the message names its file.
    """
    check_label(config, train)
    label = train[config.columns.label.name]
    spec = spec or config.pipeline
    estimator = build_pipeline(config, spec)
    parameters = _weighting(estimator, weights, config, spec)
    inputs = model_inputs(train, config, as_matrix=takes_matrix(estimator, config))
    target = label.to_numpy(dtype=np.float64) if config.task == "regression" else label_array(label)
    key = fit_key(spec, inputs, target, weights)
    if (kept := find_fit(key)) is not None:
        return kept
    encoded = None
    if config.task == "classification" and needs_encoded_labels(estimator):
        encoded = encode_labels(target)
    try:
        estimator = with_fixed_rounds(
            lambda: build_pipeline(config, spec), inputs, target, weights, config.training.early_stopping
        )
        estimator.fit(inputs, target if encoded is None else encoded[1], **parameters)
    except Exception as error:
        where = pipeline_name(config, spec)
        raise estimator_failure(
            error, "fitting", where, config.task, estimator, inputs, config.feature_names
        ) from error
    if not callable(getattr(estimator, "predict", None)):
        msg = f"{pipeline_name(config, spec)}: built a {type(estimator).__name__}, which cannot predict"
        raise PipelineError(msg)
    if encoded is not None:
        estimator = EncodedLabels(estimator, encoded[0])
    keep_fit(key, estimator)
    return estimator


def weight_parameter(estimator: Any) -> str | None:
    """Return the name of the parameter of ``fit`` that takes sample weights; None when it takes none.

    For a Pipeline that is ``<last step>__sample_weight``; wrappers such as a grid search pass it on.
    """
    from sklearn.pipeline import Pipeline
    from sklearn.utils.validation import has_fit_parameter

    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        inner = weight_parameter(last)
        return f"{name}__{inner}" if inner else None
    if has_fit_parameter(estimator, "sample_weight"):
        return "sample_weight"
    wrapped = getattr(estimator, "estimator", None) or getattr(estimator, "regressor", None)
    passes_on = any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD
        for parameter in inspect.signature(estimator.fit).parameters.values()
    )
    return weight_parameter(wrapped) if wrapped is not None and passes_on else None


def takes_weights(config: ModelConfig, spec: str | None = None) -> bool:
    """Return whether the pipeline's ``fit`` takes sample weights."""
    return weight_parameter(build_pipeline(config, spec or config.pipeline)) is not None


def build_pipeline(config: ModelConfig, spec: str) -> Any:
    """Return the unfitted estimator that the pipeline builds, prepared for its model.

    Raises
    ------
    PipelineError
        The pipeline cannot be imported, or does not build an estimator.
    """
    build = load_pipeline(config, spec)
    try:
        estimator = build()
    except Exception as error:
        msg = f"{pipeline_name(config, spec)}: {type(error).__name__} while building: {error}"
        raise PipelineError(msg) from error
    if isinstance(estimator, type) or not callable(getattr(estimator, "fit", None)):
        what = f"the class {estimator.__name__}" if isinstance(estimator, type) else repr(estimator)[:80]
        msg = (
            f"{pipeline_name(config, spec)}: returned {what}, expected an unfitted scikit-learn estimator, "
            "for example: return HistGradientBoostingClassifier()"
        )
        raise PipelineError(msg)
    return prepare(estimator, config)


def _weighting(
    estimator: Any, weights: np.ndarray | None, config: ModelConfig, spec: str
) -> dict[str, np.ndarray]:
    if weights is None:
        return {}
    name = weight_parameter(estimator)
    if name is None:
        last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
        msg = (
            f"{pipeline_name(config, spec)}: training.window.kind is recency, but {type(last).__name__} "
            "takes no sample_weight: choose an estimator that does, or kind: sliding"
        )
        raise PipelineError(msg)
    return {name: weights}


def label_array(label: pd.Series) -> np.ndarray:
    """Return text labels as numpy's own text type, which a bundle can hold without objects."""
    return label.to_numpy() if label.dtype.kind in "biuf" else label.to_numpy(dtype=object).astype(np.str_)
