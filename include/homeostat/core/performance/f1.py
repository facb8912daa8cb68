"""F1 of one class, or the mean over all."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from homeostat.config.errors import DataError
from homeostat.config.positive_class import obvious_positive

Array = npt.NDArray[Any]


def f1(labels: Array, predicted: Array, classes: Collection[str], positive: str | None) -> float:
    """Return F1 of the positive class; of more than two classes without one, the plain mean.

    The mean leaves out a class that no row has and none was predicted, as scikit-learn does.

    Parameters
    ----------
    labels, predicted
        Classes as text, shape (n,).
    classes
        All classes that are known.
    positive
        The positive class; None: the obvious one of two classes.

    Raises
    ------
    DataError
        Neither of two classes is obviously positive, or no row has the positive one.
    """
    if positive is None and len(classes) <= 2:
        positive = obvious_positive(classes)
        if positive is None:
            raise DataError(_not_obvious(sorted(classes)))
    names = [positive] if positive is not None else sorted(classes)
    counts = {name: int((labels == name).sum() + (predicted == name).sum()) for name in names}
    if not any(counts.values()):
        msg = f"f1 needs a row whose label or prediction is the positive class {names[0]!r}"
        raise DataError(msg)
    scores = [
        2 * int(((labels == name) & (predicted == name)).sum()) / count
        for name, count in counts.items()
        if count
    ]
    return float(np.mean(scores))


def _not_obvious(classes: list[str]) -> str:
    if len(classes) < 2:
        return f"f1 needs two classes, and all rows have the class {', '.join(map(repr, classes))}"
    return (
        f"f1 is computed of one class, and neither {classes[0]!r} nor {classes[1]!r} is obviously the "
        "positive one: set schema.label.positive"
    )
