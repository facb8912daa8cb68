"""Load the estimator of one flavour from its file, which is checked before a library reads it."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeostat.bundle.boosters.known import BOOSTERS, class_of
from homeostat.bundle.mlflow_model.ubjson import read_ubjson
from homeostat.bundle.safe_load import load_estimator
from homeostat.config import ModelConfig
from homeostat.config.errors import Untrusted

#: What skops files of LightGBM's estimators hold; loaded only where each booster's text has been checked.
_LIGHTGBM_TYPES = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
)
_UNCHECKED = "predict_disable_shape_check"
#: Objectives of boosters that are not scikit-learn's estimators, and what they are then loaded as.
_CLASSIFIES = re.compile(r"^(binary|multi|cross_entropy$)")
_RANKS = re.compile(r"^(rank|lambdarank|survival|aft)")


@dataclass(frozen=True, slots=True)
class FlavorFile:
    """The file of a flavour: its bytes, its settings in ``MLmodel``, and where it came from, for messages."""

    data: bytes
    name: str
    conf: Mapping[str, Any]
    what: str
    config: ModelConfig
    trusted_types: tuple[str, ...]

    def refuse(self, why: str) -> Untrusted:
        """Return the error that says why this file is not loaded."""
        return Untrusted(f"{self.what}: {self.name} {why}")

    def estimator_kind(self, library: str, given: str) -> str:
        """Return which of :data:`BOOSTERS` to load, such as ``xgboost.XGBClassifier``."""
        name = given.rpartition(".")[2]
        if name not in BOOSTERS[library]:
            known = ", ".join(BOOSTERS[library])
            why = f"is a {given[:80]}, which is not accepted: use one of {known}"
            raise self.refuse(why)
        return f"{library}.{name}"

    def booster_kind(self, library: str, objective: str) -> str:
        """Return which estimator a booster is loaded as that is not one of scikit-learn's interface."""
        if not objective or _RANKS.match(objective):
            why = f"has the objective {objective[:40]!r}: accepted are those of classes and of numbers"
            raise self.refuse(why)
        prefix = {"xgboost": "XGB", "lightgbm": "LGBM"}[library]
        return f"{library}.{prefix}{'Classifier' if _CLASSIFIES.match(objective) else 'Regressor'}"


def load_sklearn(file: FlavorFile) -> Any:
    """Load scikit-learn's flavour; Untrusted unless it was saved with skops."""
    saved = str(file.conf.get("serialization_format", "pickle"))
    if saved != "skops":
        why = (
            f"was saved as {saved[:40]}, which runs code when it is loaded: not loaded. Log the model with "
            "serialization_format='skops'"
        )
        raise file.refuse(why)
    return _load_skops(file)


def load_lightgbm(file: FlavorFile) -> Any:
    """Load LightGBM's flavour: the text of a Booster, or an estimator saved with skops."""
    from homeostat.bundle.boosters import lightgbm_format

    if not str(file.conf.get("model_class", "lightgbm.basic.Booster")).endswith(".Booster"):
        return load_sklearn(file)
    lightgbm_format.check(file.data)
    import lightgbm

    booster = lightgbm.Booster(model_str=file.data.decode())
    objective = re.search(r"^objective=(\S+)", file.data.decode(), re.MULTILINE)
    kind = file.booster_kind("lightgbm", objective[1] if objective else "")
    classes = max(int(booster.num_model_per_iteration()), 2)
    facts = {
        "classes": _positions(classes) if kind.endswith("Classifier") else None,
        "features": booster.num_feature(),
        "objective": objective[1] if objective else "",
        "best_iteration": int(booster.best_iteration),
    }
    return lightgbm_format.restore(class_of(kind)(), file.data, facts)


def load_xgboost(file: FlavorFile) -> Any:
    """Load XGBoost's flavour, in JSON or UBJSON; XGBoost reads what was checked, as JSON."""
    from homeostat.bundle.boosters import xgboost_format

    data = file.data
    if not re.match(rb"\s*\{\s*[\"}]", data[:64]):
        try:
            data = json.dumps(read_ubjson(data)).encode()
        except (ValueError, UnicodeDecodeError, RecursionError) as error:
            why = f"is neither JSON nor UBJSON of XGBoost ({error}): not loaded"
            raise file.refuse(why) from error
    xgboost_format.check(data)
    given = str(file.conf.get("model_class", "xgboost.core.Booster"))
    if given.endswith(".Booster"):
        objective = str(json.loads(data)["learner"].get("objective", {}).get("name", ""))
        kind = file.booster_kind("xgboost", objective)
    else:
        kind = file.estimator_kind("xgboost", given)
    return xgboost_format.restore(class_of(kind)(), data, {})


def load_catboost(file: FlavorFile) -> Any:
    """Load CatBoost's flavour, in its format ``cbm``."""
    from homeostat.bundle.boosters import catboost_format

    saved = str(file.conf.get("save_format", "cbm"))
    if saved != "cbm":
        why = f"was saved as {saved[:40]}: save it in CatBoost's own format, cbm"
        raise file.refuse(why)
    kind = file.estimator_kind("catboost", str(file.conf.get("model_type", "")))
    catboost_format.check(file.data)
    return catboost_format.restore(class_of(kind)(), file.data, {"size": len(file.data)})


def _load_skops(file: FlavorFile) -> Any:
    """Load a skops file of trusted types, and LightGBM's estimators in it once their text is checked."""
    from homeostat.bundle.boosters import lightgbm_format
    from homeostat.bundle.boosters.known import library_of
    from homeostat.bundle.trusted_types import walk

    texts = list(_lightgbm_texts(file))
    for text in texts:
        lightgbm_format.check(text.encode())
    more = _LIGHTGBM_TYPES if texts else ()
    types = (*file.trusted_types, *more)
    estimator = load_estimator(file.data, Path(file.what) / file.name, file.config.name, types, file.config)
    for part in walk(estimator) if texts else ():
        if library_of(part) != "lightgbm" or not part.__sklearn_is_fitted__():
            continue
        own = part.booster_
        if own.num_feature() != part.n_features_in_ or _UNCHECKED in {*part.get_params(), *own.params}:
            raise file.refuse("has a LightGBM estimator with other features than its trees: not loaded")
    return estimator


def _lightgbm_texts(file: FlavorFile) -> Iterator[str]:
    """Yield the text of every Booster of LightGBM in a skops file, without loading it."""
    try:
        with zipfile.ZipFile(io.BytesIO(file.data)) as archive:
            if archive.getinfo("schema.json").file_size > 256 * 1024**2:
                return  # load_estimator refuses it
            waiting = [json.loads(archive.read("schema.json"))]
    except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError, RecursionError):
        return  # load_estimator says what is wrong with it
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            if (node.get("__module__"), node.get("__class__")) == ("lightgbm.basic", "Booster"):
                yield _text_of(node, file)
            waiting.extend(node.values())


def _text_of(node: Mapping[str, Any], file: FlavorFile) -> str:
    try:
        handle = node["content"]["content"]["_handle"]
        text = json.loads(handle["content"]) if handle["__loader__"] == "JsonNode" else None
    except (KeyError, TypeError, ValueError):
        text = None
    if node.get("__loader__") != "ObjectNode" or not isinstance(text, str):
        raise file.refuse("has a Booster of LightGBM in a form that is not known: not loaded")
    return text


def _positions(classes: int) -> Any:
    import numpy as np

    return np.arange(classes)
