"""The place of each row in a feature's counts, so that the rows of many groups are counted at once."""

from __future__ import annotations

import numpy as np
import pandas as pd

from homeostat.core.profile.binning import slots_of_labels, slots_of_numbers
from homeostat.core.profile.coerce import Ints, codes_of_labels, read_numbers
from homeostat.core.profile.edges import FeatureEdges, NumberEdges

#: The cells of a row without a value, and of one whose value the edges cannot place; slots follow.
MISSING, UNSEEN, FIRST_SLOT = 0, 1, 2


def cells_of(edges: FeatureEdges, column: pd.Series) -> Ints:
    """Return the cell of each row, shape (n,): its place in :meth:`FeatureCounts.to_body`."""
    if isinstance(edges, NumberEdges):
        numbers, unread = read_numbers(column)
        cells = np.full(len(numbers), MISSING, np.int64)
        known = ~np.isnan(numbers)
        cells[known] = FIRST_SLOT + slots_of_numbers(edges, numbers[known])
        cells[unread] = UNSEEN
        return cells
    codes, labels = codes_of_labels(column, edges.spelling)
    slots = slots_of_labels(edges, [label or "" for label in labels])
    found = [
        MISSING if label is None else UNSEEN if slot is None else FIRST_SLOT + slot
        for label, slot in zip(labels, slots, strict=True)
    ]
    return np.array([*found, MISSING], dtype=np.int64)[codes]  # the code of a missing value is -1, the last


def count_cells(edges: FeatureEdges, column: pd.Series, groups: Ints, size: int) -> Ints:
    """Count the cells of each group of rows.

    Parameters
    ----------
    groups
        The group of each row, shape (n,); rows of -1 are left out.
    size
        How many groups there are.

    Returns
    -------
    Missing, unseen and then the slots, shape (size, 2 + size of the edges).
    """
    width, known = edges.size + FIRST_SLOT, groups >= 0
    flat = groups[known] * width + cells_of(edges, column)[known]
    return np.bincount(flat, minlength=size * width).astype(np.int64, copy=False).reshape(size, width)
