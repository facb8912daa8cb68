"""Fit a profile's edges to a reference: once per version, before any rows are counted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from homeostat.core.profile.coerce import Ints, as_labels, as_numbers, hash_of
from homeostat.core.profile.edges import CategoryEdges, FeatureEdges, FeatureKind, NumberEdges, ProfileEdges
from homeostat.core.values.whole_numbers import Numbers, is_exact

#: Default limits of cut points per number, and of slots per category.
MAX_EDGES, MAX_CATEGORIES = 128, 100
#: Bytes that a category's labels and the hashes of its rare labels may take as stored.
MAX_BYTES = 7_300
_BYTES_PER_CHARACTER, _BYTES_PER_HASH = 1.2, 4.7  # of random text, compressed: the worst case
# Fewer labels seen once than this are no evidence: a reference this small has a few in any category.
_MIN_SEEN_ONCE = 10


def fit_edges(
    frame: pd.DataFrame,
    kinds: Mapping[str, FeatureKind],
    *,
    max_edges: int = MAX_EDGES,
    max_categories: int = MAX_CATEGORIES,
) -> ProfileEdges:
    """Fit the edges of every feature.

    Parameters
    ----------
    frame
        The reference, one row per prediction.
    kinds
        Column to ``"number"`` or ``"category"``, in the order to keep; pseudo-columns such as
        ``prediction`` are allowed. A column that ``frame`` lacks is fitted as all missing.
    max_edges
        A number with at most this many distinct values gets each of them as a cut point, which makes
        every comparison exact. Otherwise the cut points are that many quantiles, smallest and largest
        value included. A reference with an infinity gets the last float before it as one more cut
        point, so that no finite value shares its slot.
    max_categories
        A category with at most this many labels gets a slot for each. Otherwise the slots go first to
        the labels that are clearly more frequent than those without a slot, most frequent first, and
        then to other labels, chosen by their hash. Choosing all by frequency would select labels that
        were frequent by chance in this reference, and every later window would seem to have fewer of
        them.

    Raises
    ------
    ValueError
        ``max_edges`` is below 2, ``max_categories`` is below 1, or ``frame`` has a duplicate column.
    """
    if max_edges < 2 or max_categories < 1:
        msg = f"max_edges must be at least 2 and max_categories at least 1, not {max_edges}, {max_categories}"
        raise ValueError(msg)
    return ProfileEdges(
        {
            name: _fit_column(column_of(frame, name), kind, max_edges, max_categories)
            for name, kind in kinds.items()
        }
    )


def column_of(frame: pd.DataFrame, name: str) -> pd.Series:
    """Return the column, or an all-missing one when the frame lacks it; ValueError for a duplicate."""
    if name not in frame.columns:
        return pd.Series(np.full(len(frame), np.nan), name=name)
    column = frame[name]
    if isinstance(column, pd.DataFrame):
        msg = f"duplicate column {name!r} in the frame ({column.shape[1]} times): keep one of them"
        raise ValueError(msg)  # noqa: TRY004  # the type is right, the content is not
    return column


def _fit_column(column: pd.Series, kind: FeatureKind, max_edges: int, max_categories: int) -> FeatureEdges:
    if kind == "number":
        numbers, _ = as_numbers(column)
        return fit_number_edges(numbers, max_edges)
    counts, labels, _ = as_labels(column)
    return fit_label_edges(counts, labels, max_categories)


def fit_label_edges(counts: Ints, labels: list[str], max_categories: int = MAX_CATEGORIES) -> CategoryEdges:
    """Return the edges of a category of which ``counts[i]`` rows hold ``labels[i]``."""
    order = sorted(range(len(labels)), key=lambda at: (-counts[at], labels[at]))
    ranked, rows = [labels[at] for at in order], counts[order]
    # The chance that a new row has an unseen label is the share of labels seen once (I. J. Good,
    # "The population frequencies of species", 1953). Where that is more than noise, new labels are
    # expected: none counts as unseen, and only frequent labels are compared individually.
    once, outside = int((rows == 1).sum()), rows[max_categories:].sum()
    noise = np.sqrt(outside) / 4 if outside else max(_MIN_SEEN_ONCE, np.sqrt(rows.sum()))
    if once > noise:
        frequent = _clearly_more_frequent(rows, min(max_categories, rows.size - 1), 3)
        return CategoryEdges(tuple(ranked[:frequent]), open=True)
    if rows.size <= max_categories:
        return CategoryEdges(tuple(ranked))
    # 5 sigmas: of a hundred labels the luckiest may be 3 above, and the unluckiest outside 2 below.
    frequent = _clearly_more_frequent(rows, max_categories, 5)
    others = sorted(ranked[frequent:], key=hash_of)
    own = ranked[:frequent] + others[: max_categories - frequent]
    rest = others[max_categories - frequent :]
    characters = sum(len(label.encode()) for label in own)
    fits = _BYTES_PER_CHARACTER * characters + _BYTES_PER_HASH * len(rest) <= MAX_BYTES
    return CategoryEdges(tuple(own), tuple(sorted(map(hash_of, rest))) if fits else (), open=not fits)


def _clearly_more_frequent(rows: Ints, most: int, sigmas: int) -> int:
    """Return how many of the ranked labels lie this many sigmas above the first label without a slot."""
    limit = rows[most] + sigmas * (np.sqrt(rows[most]) + 1)
    return int(min((rows > limit).sum(), most))


def fit_number_edges(numbers: Numbers, max_edges: int = MAX_EDGES) -> NumberEdges:
    """Return the edges of numbers; the cut points of integers are integers."""
    return fit_sorted_numbers(np.sort(numbers), max_edges)


def fit_sorted_numbers(ordered: Numbers, max_edges: int = MAX_EDGES) -> NumberEdges:
    """Return the edges of numbers that are in ascending order; NaN comes last."""
    ends: list[float] = []
    if not is_exact(ordered):
        first = int(np.searchsorted(ordered, -np.inf, side="right"))
        last = int(np.searchsorted(ordered, np.inf, side="left"))
        ends = [-np.inf] * (first > 0) + [np.inf] * bool((ordered[last : last + 1] == np.inf).any())
        ordered = ordered[first:last]
    rises = ordered[1:] != ordered[:-1]
    complete = not ordered.size or int(np.count_nonzero(rises)) < max_edges
    if complete:
        cuts = ordered[np.append(True, rises)] if ordered.size else ordered
    else:
        at = np.round(np.linspace(0, ordered.size - 1, max_edges)).astype(np.int64)
        cuts = ordered[at]  # observed values, never interpolated ones: atoms stay atoms
    cuts = cuts if is_exact(cuts) else cuts + 0.0  # minus zero becomes zero: one digest for both
    beyond = np.nextafter(ends, 0.0) if ends else cuts[:0]
    return NumberEdges(tuple(np.unique(np.concatenate([cuts, beyond])).tolist()), complete)
