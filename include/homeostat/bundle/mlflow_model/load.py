"""Load the model in a folder that MLflow wrote, as an estimator of the features of model.yaml."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from homeostat.bundle.mlflow_model.flavors import (
    FlavorFile,
    load_catboost,
    load_lightgbm,
    load_sklearn,
    load_xgboost,
)
from homeostat.bundle.mlflow_model.inputs import fit_to_schema
from homeostat.bundle.mlflow_model.mlmodel import MLmodel, read_file, read_mlmodel
from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, Untrusted

#: The accepted flavours, the preferred first: the setting that names the file, and what loads it.
_FLAVORS: Mapping[str, tuple[str, Callable[[FlavorFile], Any]]] = {
    "catboost": ("data", load_catboost),
    "lightgbm": ("data", load_lightgbm),
    "xgboost": ("data", load_xgboost),
    "sklearn": ("pickled_model", load_sklearn),
}
#: Every model has it beside its own flavour. It runs the code that it names.
_GENERAL = "python_function"


def load_mlflow_model(
    folder: Path,
    config: ModelConfig,
    trusted_types: Iterable[str] = (),
    *,
    what: str = "",
    classes: Sequence[str] = (),
) -> Any:
    """Return the estimator in a folder with ``MLmodel``; it takes the features of model.yaml, in their order.

    Nothing is unpickled, no code that came with the model is run, and types are created only where
    :func:`~homeostat.bundle.files.load_bundle` would create them.

    Parameters
    ----------
    folder
        The model's files, as MLflow stores them.
    trusted_types
        See :func:`~homeostat.bundle.files.load_bundle`.
    what
        The model's address, for messages.
    classes
        The label of each class 0, 1, ..., for a model that predicts these numbers.

    Raises
    ------
    Untrusted
        No accepted flavour, or a file that is not safe to load; the message says which and why.
    SignatureMismatch
        The model takes other inputs, or predicts something else, than model.yaml says.
    """
    what = what or str(folder)
    described = read_mlmodel(folder, what)
    flavor = _accepted(described, what)
    key, load = _FLAVORS[flavor]
    conf = described.flavors[flavor]
    name = str(conf.get(key) or "")
    data = read_file(folder, name, what)
    file = FlavorFile(data, name, conf, what, config, tuple(trusted_types))
    try:
        return fit_to_schema(load(file), described, config, what=what, classes=classes)
    except HomeostatError:
        raise
    except Exception as error:  # a broken or crafted file may make the libraries raise anything
        why = f"{type(error).__name__}: {error}"
        msg = f"{what}: {name} cannot be read as a model of {flavor} ({why}): not loaded"
        raise Untrusted(msg) from error


def _accepted(described: MLmodel, what: str) -> str:
    found = next((flavor for flavor in _FLAVORS if flavor in described.flavors), None)
    if found is None:
        own = ", ".join(name for name in described.flavors if name != _GENERAL) or _GENERAL
        msg = (
            f"{what}: its flavour is {own[:200]}. Accepted are scikit-learn saved with skops, XGBoost, "
            "LightGBM and CatBoost: other flavours run code of their own when they are loaded"
        )
        raise Untrusted(msg)
    return found
