"""Write the boosters of a fitted pipeline in their libraries' own formats, and load them again.

skops writes the pipeline; in place of each booster it gets a :class:`StoredBooster`, whose ``data`` becomes
one file of the archive, byte for byte what the library writes: JSON of XGBoost, text of LightGBM, ``cbm`` of
CatBoost. Nothing is pickled, and no type of the three libraries has to be trusted.
"""

from __future__ import annotations

import copy
from types import ModuleType
from typing import Any

from homeostat.bundle.boosters.known import class_of, kind_of, library_of
from homeostat.bundle.trusted_types import walk

#: Parameters that matter to a fit only, and may hold anything.
_FIT_ONLY = ("callbacks",)


class StoredBooster:
    """A booster's class, parameters and model in its library's format; loaded, it becomes the booster.

    Parameters
    ----------
    booster
        One of :data:`~homeostat.bundle.boosters.known.BOOSTERS`, fitted or not: an ensemble keeps the
        unfitted ones as well.
    """

    def __init__(self, booster: Any) -> None:
        self.kind = kind_of(booster)
        given = booster.get_params(deep=False)
        self.params = {name: value for name, value in given.items() if name not in _FIT_ONLY}
        self.data: bytes | None = None
        self.facts: dict[str, Any] = {}
        if _fitted(booster):
            self.data, self.facts = _format(self.kind).dump(booster)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become the booster.

        skops calls this once all types are trusted. A class cannot be changed from outside, wherever in the
        pipeline the object is; so it is done here.
        """
        kind = str(state["kind"])
        own = _format(kind)
        booster = class_of(kind)(**state["params"])
        if state["data"] is not None:
            own.check(state["data"])
            booster = own.restore(booster, state["data"], state["facts"])
        self.__class__ = type(booster)
        self.__dict__.clear()
        self.__dict__.update(vars(booster))


def store_boosters(estimator: Any) -> Any:
    """Return a copy of a fitted pipeline with a :class:`StoredBooster` for each booster.

    Returns the pipeline itself where it has none.

    Raises
    ------
    PipelineError
        A booster cannot be stored.
    """
    boosters = [part for part in walk(estimator, leaf=library_of) if library_of(part)]
    if not boosters:
        return estimator
    # deepcopy puts what is in its memo wherever the original is referred to.
    return copy.deepcopy(estimator, {id(each): StoredBooster(each) for each in boosters})


def _fitted(booster: Any) -> bool:
    if hasattr(booster, "is_fitted"):
        return bool(booster.is_fitted())  # CatBoost's own
    return bool(booster.__sklearn_is_fitted__())


def _format(kind: str) -> ModuleType:
    import importlib

    library = kind.partition(".")[0]
    class_of(kind)
    return importlib.import_module(f"homeostat.bundle.boosters.{library}_format")
