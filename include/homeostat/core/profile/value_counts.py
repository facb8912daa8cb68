"""Count distinct values of a column, each with its rows: what an engine's GROUP BY returns."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from homeostat.core.profile.arrow import label_scalars
from homeostat.core.profile.binning import bin_labels, number_slots
from homeostat.core.profile.coerce import Ints, label_of, read_numbers
from homeostat.core.profile.edges import FeatureEdges, NumberEdges
from homeostat.core.profile.histogram import FeatureCounts


def count_values(edges: FeatureEdges, values: pa.Array | pd.Series, rows: Ints) -> FeatureCounts:
    """Count values with their rows, with the same result as counting each row.

    Parameters
    ----------
    values
        Each value once, also null; a Series for types that Arrow has not, such as decimals without a scale.
    rows
        ``rows[i]`` rows of the column hold ``values[i]``.
    """
    column = values if isinstance(values, pd.Series) else values.to_pandas()
    if isinstance(edges, NumberEdges):
        numbers, unread = read_numbers(column)
        slots, missing = number_slots(edges, numbers[~unread], rows[~unread])
        return FeatureCounts(edges, slots, missing, int(rows[unread].sum()))
    scalars = list(column) if isinstance(values, pd.Series) else label_scalars(values)
    labels = [label_of(value, edges.spelling) for value in scalars]
    missing = sum(n for label, n in zip(labels, rows.tolist(), strict=True) if label is None)
    named = [at for at, label in enumerate(labels) if label is not None]
    texts = [label for label in labels if label is not None]
    return bin_labels(edges, rows[named], texts, missing=missing)
