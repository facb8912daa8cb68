"""Take the frames from a reference: once per version, before anything is counted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from homeostat.profile.columns import Floats, as_labels, as_numbers, hash_of
from homeostat.profile.frames import CategoryFrame, FeatureFrame, Frames, Kind, NumberFrame

#: So many rare labels of a reference are remembered by their hash; 2 KB.
MAX_REST = 512


def freeze(
    frame: pd.DataFrame, kinds: Mapping[str, Kind], *, max_edges: int = 128, max_categories: int = 100
) -> Frames:
    """Freeze the edges of every feature.

    Parameters
    ----------
    frame
        The reference, one row a prediction.
    kinds
        Column to ``"number"`` or ``"category"``, in the order to keep; pseudo-columns such as
        ``prediction`` may be among them. A column that ``frame`` does not have freezes as all missing.
    max_edges
        A number with no more distinct values has each of them as an edge, which makes every
        comparison exact; otherwise the edges are that many quantiles, smallest and largest included.
    max_categories
        So many of a category's labels have a slot of their own, the most frequent first.

    Raises
    ------
    ValueError
        ``max_edges`` below 2, ``max_categories`` below 1, or a column that stands twice in ``frame``.
    """
    if max_edges < 2 or max_categories < 1:
        msg = f"max_edges must be at least 2 and max_categories at least 1, not {max_edges}, {max_categories}"
        raise ValueError(msg)
    return Frames(
        {
            name: _freeze(column_of(frame, name), kind, max_edges, max_categories)
            for name, kind in kinds.items()
        }
    )


def column_of(frame: pd.DataFrame, name: str) -> pd.Series:
    """The column, or one of nothing but missing values when the frame has none of that name."""
    if name not in frame.columns:
        return pd.Series(np.full(len(frame), np.nan), name=name)
    column = frame[name]
    if isinstance(column, pd.DataFrame):
        msg = f"column {name!r} stands {column.shape[1]} times in the frame: keep one of them"
        raise ValueError(msg)  # noqa: TRY004  # the type is right, the content is not
    return column


def _freeze(column: pd.Series, kind: Kind, max_edges: int, max_categories: int) -> FeatureFrame:
    if kind == "number":
        numbers, _ = as_numbers(column)
        return _freeze_numbers(numbers[np.isfinite(numbers)], max_edges)
    counts, labels, _ = as_labels(column)
    ranked = [label for _, label in sorted(zip((-counts).tolist(), labels, strict=True))]
    top, others = ranked[:max_categories], ranked[max_categories:]
    too_many = len(others) > MAX_REST
    return CategoryFrame(tuple(top), () if too_many else tuple(sorted(map(hash_of, others))), open=too_many)


def _freeze_numbers(finite: Floats, max_edges: int) -> NumberFrame:
    ordered = np.sort(finite) + 0.0  # minus zero is zero, and must not change the digest
    edges = ordered[np.r_[True, ordered[1:] != ordered[:-1]]] if ordered.size else ordered
    complete = edges.size <= max_edges
    if not complete:
        at = np.round(np.linspace(0, ordered.size - 1, max_edges)).astype(np.int64)
        edges = np.unique(ordered[at])  # values that were there, never between two: atoms stay atoms
    return NumberFrame(tuple(edges.tolist()), complete)
