"""What the boosters of an unfitted pipeline need here: native categories, no output, no files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from homeostat.bundle.boosters.known import library_of
from homeostat.config import ModelConfig


def parts_of(estimator: Any) -> Iterator[Any]:
    """Yield an unfitted estimator and all estimators nested in it."""
    yield estimator
    values = estimator.get_params(deep=False).values() if hasattr(estimator, "get_params") else ()
    for value in values:
        items = value if isinstance(value, (list, tuple)) else [value]
        for item in items:
            for inner in item if isinstance(item, tuple) else (item,):
                if hasattr(inner, "fit") and not isinstance(inner, type):
                    yield from parts_of(inner)


def needs_encoded_labels(estimator: Any) -> bool:
    """Return whether a part is a classifier that takes no labels but 0, 1, ...: XGBoost's."""
    return any(
        library_of(part) == "xgboost" and type(part).__name__.endswith("Classifier")
        for part in parts_of(estimator)
    )


def prepare(estimator: Any, config: ModelConfig) -> Any:
    """Prepare the boosters of an unfitted pipeline; return it, or a pipeline around it.

    A booster that gets the model's category features itself gets them as its native categories. Settings of
    the user's own stay; without one, LightGBM and CatBoost print nothing, and CatBoost writes no files into
    the working directory.
    """
    for part in parts_of(estimator):
        _silence(part)
    names = [name for name, feature in config.columns.features.items() if feature.type == "category"]
    library = library_of(estimator)
    if library is None or not names:
        return estimator
    from sklearn.pipeline import Pipeline

    from homeostat.bundle.boosters.categories import NativeCategories

    if library == "catboost" and estimator.get_params().get("cat_features") is None:
        estimator.set_params(cat_features=names)
    elif library == "xgboost":
        estimator.set_params(enable_categorical=True)
    return Pipeline([("categories", NativeCategories(as_text=library == "catboost")), ("booster", estimator)])


def _silence(part: Any) -> None:
    library = library_of(part)
    if library == "lightgbm":
        _set_unless(part, ("verbose", "verbosity"), verbose=-1)
    elif library == "catboost":
        _set_unless(part, ("verbose", "silent", "logging_level", "verbose_eval"), verbose=False)
        _set_unless(part, ("allow_writing_files", "train_dir"), allow_writing_files=False)


def _set_unless(part: Any, names: tuple[str, ...], **setting: Any) -> None:
    given = part.get_params()
    if all(given.get(name) is None for name in names):
        part.set_params(**setting)
