"""Take the frames from a reference: once per version, before anything is counted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from homeostat.core.profile.coerce import Floats, Ints, as_labels, as_numbers, hash_of
from homeostat.core.profile.edges import CategoryFrame, FeatureFrame, Frames, Kind, NumberFrame

#: Bytes that a category's labels and the hashes of its rare ones may take, as they are stored.
MAX_BYTES = 7_300
_PER_BYTE, _PER_HASH = 1.2, 4.7  # of random text, compressed: the worst case
# Fewer labels seen once than this say nothing: a reference so small has a few of any category.
_FEW = 10


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
        A reference with an infinity has the last float before it as one more edge, so that nothing
        finite shares its slot.
    max_categories
        A category with no more labels has a slot for each. Otherwise those that are clearly more
        frequent than what has none, the most frequent first, and then any others, chosen by their
        hash: labels chosen for being frequent were lucky in this reference, and every window after
        it would seem to have fewer of them.

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
        return _freeze_numbers(numbers, max_edges)
    counts, labels, _ = as_labels(column)
    return freeze_labels(counts, labels, max_categories)


def freeze_labels(counts: Ints, labels: list[str], max_categories: int) -> CategoryFrame:
    """The frame of labels of which ``counts[i]`` rows hold ``labels[i]``."""
    order = sorted(range(len(labels)), key=lambda at: (-counts[at], labels[at]))
    ranked, rows = [labels[at] for at in order], counts[order]
    # What a new row's chance of a label never seen is: the share of labels seen once (I. J. Good,
    # "The population frequencies of species", 1953). Where that is more than noise, a new label is
    # no news: none is called unseen, and only labels seen often enough are compared one by one.
    once, outside = int((rows == 1).sum()), rows[max_categories:].sum()
    noise = np.sqrt(outside) / 4 if outside else max(_FEW, np.sqrt(rows.sum()))
    if once > noise:
        return CategoryFrame(tuple(ranked[: _clear(rows, min(max_categories, rows.size - 1), 3)]), open=True)
    if rows.size <= max_categories:
        return CategoryFrame(tuple(ranked))
    clear = _clear(rows, max_categories, 5)  # a hundred lucky ones may be 3 above, the unlucky 2 below
    others = sorted(ranked[clear:], key=hash_of)
    own, rest = ranked[:clear] + others[: max_categories - clear], others[max_categories - clear :]
    text = sum(len(label.encode()) for label in own)
    known = _PER_BYTE * text + _PER_HASH * len(rest) <= MAX_BYTES
    return CategoryFrame(tuple(own), tuple(sorted(map(hash_of, rest))) if known else (), open=not known)


def _clear(rows: Ints, most: int, sigmas: int) -> int:
    """How many of the labels, ranked by their rows, are that far above the first that stays out."""
    limit = rows[most] + sigmas * (np.sqrt(rows[most]) + 1)
    return int(min((rows > limit).sum(), most))


def _freeze_numbers(numbers: Floats, max_edges: int) -> NumberFrame:
    ordered = np.sort(numbers[np.isfinite(numbers)]) + 0.0  # minus zero is zero, and changes no digest
    edges = ordered[np.r_[True, ordered[1:] != ordered[:-1]]] if ordered.size else ordered
    complete = edges.size <= max_edges
    if not complete:
        at = np.round(np.linspace(0, ordered.size - 1, max_edges)).astype(np.int64)
        edges = ordered[at]  # values that were there, never between two: atoms stay atoms
    ends = [end for end in (-np.inf, np.inf) if (numbers == end).any()]
    return NumberFrame(tuple(np.unique([*edges, *np.nextafter(ends, 0.0)]).tolist()), complete)
