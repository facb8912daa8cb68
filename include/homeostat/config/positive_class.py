"""Which of two classes is positive: the one that F1 is computed of."""

from __future__ import annotations

from collections.abc import Iterable

#: Metrics that are computed of one class, when there are two.
OF_ONE_CLASS = ("f1",)
#: Pairs of classes whose names say which is positive: the first. A class is not positive by being rare.
OBVIOUS = (
    ("1", "0"),
    ("1", "-1"),
    ("true", "false"),
    ("t", "f"),
    ("yes", "no"),
    ("y", "n"),
    ("positive", "negative"),
    ("pos", "neg"),
)
#: Longer names of classes are shortened in the title of a metric.
_SHOWN = 40


def obvious_positive(classes: Iterable[str]) -> str | None:
    """Return the positive one of two classes where their names say it (:data:`OBVIOUS`), or None."""
    by_word = {name.lower(): name for name in classes}
    for positive, negative in OBVIOUS:
        if by_word.keys() == {positive, negative}:
            return by_word[positive]
    return None


def metric_title(metric: str, positive: str | None) -> str:
    """Return the name of a metric for people, with the class that it is of: ``f1 of 'fraud'``."""
    if metric not in OF_ONE_CLASS or positive is None:
        return metric
    shown = positive if len(positive) <= _SHOWN else f"{positive[: _SHOWN - 3]}..."
    return f"{metric} of '{shown}'"
