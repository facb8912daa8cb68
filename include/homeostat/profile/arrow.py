"""Arrow columns into counts, without a detour through pandas where it can be helped."""

from __future__ import annotations

import pyarrow as pa

from homeostat.profile.count import count_column
from homeostat.profile.counts import Counts
from homeostat.profile.frames import FeatureFrame


def count_arrow(frame: FeatureFrame, array: pa.ChunkedArray | pa.Array) -> Counts:
    """Count one Arrow column on its frame: the same counts as the column in pandas gives.

    Parameters
    ----------
    frame
        The feature's frozen edges or labels.
    array
        Any Arrow column, nulls allowed. Counts of batches add up to the counts of the whole.
    """
    return count_column(frame, array.to_pandas())
