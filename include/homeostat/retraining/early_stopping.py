"""Early stopping of a booster on the newest rows, which it then learns from as well."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from homeostat.bundle.boosters.known import library_of
from homeostat.bundle.boosters.labels import encode_labels
from homeostat.bundle.boosters.prepare import needs_encoded_labels

#: Parameters that end a fit early, by library. Their other settings go with them.
_STOPS: Mapping[str, tuple[str, ...]] = {
    "xgboost": ("early_stopping_rounds",),
    "lightgbm": ("early_stopping_round", "early_stopping_rounds", "early_stopping", "n_iter_no_change"),
    "catboost": ("early_stopping_rounds", "od_wait", "od_pval", "od_type", "use_best_model"),
}
#: Names of the number of rounds; the first one is set.
_ROUNDS: Mapping[str, tuple[str, ...]] = {
    "xgboost": ("n_estimators",),
    "lightgbm": ("n_estimators", "num_iterations", "num_boost_round", "num_trees", "num_rounds"),
    "catboost": ("iterations", "n_estimators", "num_boost_round", "num_trees"),
}


def with_fixed_rounds(
    build: Callable[[], Any], inputs: Any, target: np.ndarray, weights: np.ndarray | None, share: float
) -> Any:
    """Return the unfitted estimator with the number of rounds at which it would stop early.

    Where the last step is a booster with early stopping, a second estimator is fitted on the older rows and
    stops when it gets worse on the newest ones. The returned one has so many rounds and no early stopping: it
    can learn from all rows. All other estimators are returned as they are built.

    Parameters
    ----------
    build
        Returns a new unfitted estimator each time.
    inputs, target, weights
        All rows of the fit, in time order, shape (n, features) and (n,).
    share
        Of the rows, the newest.
    """
    estimator = build()
    booster = _last(estimator)
    library = library_of(booster) or ""
    given = booster.get_params(deep=False) if library else {}
    if not any(given.get(name) for name in _STOPS.get(library, ())):
        return estimator
    rounds = _best_rounds(build(), library, inputs, target, weights, share)
    dropped = {*_STOPS[library], *(_ROUNDS[library] if rounds else ())}
    kept = {name: value for name, value in given.items() if name not in dropped}
    fixed = type(booster)(**kept, **({_ROUNDS[library][0]: rounds} if rounds else {}))
    if booster is estimator:
        return fixed
    return estimator.set_params(**{estimator.steps[-1][0]: fixed})


def _best_rounds(
    estimator: Any, library: str, inputs: Any, target: np.ndarray, weights: np.ndarray | None, share: float
) -> int | None:
    """Return how many rounds are best on the newest rows; None where they have only new classes."""
    booster = _last(estimator)
    first = len(target) - math.ceil(share * len(target))
    at = np.arange(first, len(target))
    if needs_encoded_labels(booster):
        encoded = encode_labels(target[:first])
        if encoded is not None:  # the older rows may lack a class
            at = at[np.isin(target[first:], encoded[0])]
            target = np.searchsorted(encoded[0], target)
    elif type(booster).__name__.endswith("Classifier"):
        at = at[np.isin(target[first:], target[:first])]
    if not len(at):
        return None
    older, newest = _rows(inputs, slice(0, first)), _rows(inputs, at)
    if booster is not estimator:
        before = estimator[:-1]
        older, newest = before.fit_transform(older, target[:first]), before.transform(newest)
    quiet = {"verbose": False} if library != "lightgbm" else {}
    more = {} if weights is None else {"sample_weight": weights[:first]}
    with warnings.catch_warnings():
        # LightGBM 4.7 wants eval_X and eval_y, but does not encode texts in eval_y.
        warnings.filterwarnings("ignore", message=".*'eval_set' is deprecated")
        booster.fit(older, target[:first], eval_set=[(newest, target[at])], **more, **quiet)
    found = booster.best_iteration_ if library == "lightgbm" else _last_best(booster, library)
    return int(found) or None


def _last_best(booster: Any, library: str) -> int:
    """Return the number of rounds up to the best one, which XGBoost and CatBoost count from 0."""
    best = booster.best_iteration if library == "xgboost" else booster.get_best_iteration()
    return 0 if best is None else best + 1


def _last(estimator: Any) -> Any:
    return estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator


def _rows(inputs: Any, at: Any) -> Any:
    return inputs.iloc[at] if hasattr(inputs, "iloc") else inputs[at]
