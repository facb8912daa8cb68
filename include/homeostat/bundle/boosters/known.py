"""The estimators of XGBoost, LightGBM and CatBoost that a bundle can hold."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

from homeostat.config.errors import Untrusted
from homeostat.config.extras import optional_libraries

#: The classes by library, all importable from its top level. Subclasses are not among them: their own
#: methods would be lost.
BOOSTERS: Mapping[str, tuple[str, ...]] = {
    "xgboost": ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor"),
    "lightgbm": ("LGBMClassifier", "LGBMRegressor"),
    "catboost": ("CatBoostClassifier", "CatBoostRegressor"),
}


def library_of(estimator: Any) -> str | None:
    """Return ``xgboost``, ``lightgbm`` or ``catboost`` for one of their estimators, None for all else."""
    library, name = _named(estimator)
    return library if name in BOOSTERS.get(library, ()) else None


def kind_of(estimator: Any) -> str:
    """Return the library and class of one of :data:`BOOSTERS`, such as ``xgboost.XGBClassifier``."""
    return ".".join(_named(estimator))


def class_of(kind: str) -> type[Any]:
    """Import the class that :func:`kind_of` names.

    Raises
    ------
    MissingExtra
        The library is not installed.
    Untrusted
        There is no such class among :data:`BOOSTERS`.
    """
    library, _, name = kind.partition(".")
    if name not in BOOSTERS.get(library, ()):
        msg = f"the bundle names the estimator {kind[:80]!r}, which is not among those that can be loaded"
        raise Untrusted(msg)
    with optional_libraries():
        found: type[Any] = getattr(importlib.import_module(library), name)
    return found


def predict_threads() -> int:
    """Return how many threads a loaded booster predicts on: ``OMP_NUM_THREADS``, 1 where it is not set.

    The gateway joins waiting requests into one call, and several threads for so few rows cost more than they
    save.
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) else 1


def _named(estimator: Any) -> tuple[str, str]:
    kind = type(estimator)
    kind = getattr(kind, "homeostat_base", kind)
    return kind.__module__.partition(".")[0], kind.__name__
