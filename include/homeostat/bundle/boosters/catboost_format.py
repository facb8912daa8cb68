"""CatBoost's binary format, ``cbm``."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from homeostat.bundle.boosters.catboost_core import check_core
from homeostat.bundle.boosters.known import predict_threads
from homeostat.bundle.boosters.trees import refuse

#: Facts of the fit that differ each time, and are none of the model's.
_CHANGING = ("model_guid", "train_finish_time")


def dump(booster: Any) -> tuple[bytes, dict[str, Any]]:
    """Return a fitted estimator's trees as ``cbm``, which also has its classes."""
    metadata = booster.get_metadata()
    for name in _CHANGING:
        metadata[name] = ""
    with tempfile.TemporaryDirectory(prefix="homeostat-") as folder:
        path = Path(folder) / "model.cbm"
        booster.save_model(str(path))  # CatBoost has no public way to write into memory
        data = path.read_bytes()
    check(data)
    return data, {"size": len(data)}


def restore(booster: Any, data: bytes, facts: Mapping[str, Any]) -> Any:
    """Return an estimator with these trees that predicts on the threads of the server."""
    if len(data) != facts["size"]:  # the statistics of categories follow the core, and do not say how many
        raise refuse("no complete cbm file of CatBoost")
    loaded = _serving(cast("Any", type(booster)))(**booster.get_params())
    loaded.load_model(blob=data)
    return loaded


def check(data: bytes) -> None:
    """Raise Untrusted unless every split, node and leaf of the trees is there; CatBoost verifies the rest."""
    check_core(data)


@cache
def _serving(base: Any) -> type[Any]:
    """Return the class with another default of ``thread_count``, which no setting changes otherwise."""

    def predict(self: Any, data: Any, *args: Any, **more: Any) -> Any:
        return base.predict(self, data, *args, **{"thread_count": predict_threads(), **more})

    def predict_proba(self: Any, data: Any, *args: Any, **more: Any) -> Any:
        return base.predict_proba(self, data, *args, **{"thread_count": predict_threads(), **more})

    methods = {"predict": predict, "homeostat_base": base}
    if hasattr(base, "predict_proba"):
        methods["predict_proba"] = predict_proba
    return type(base.__name__, (base,), methods)
