"""How long the requests of a step took, as counts that are small enough to keep."""

from __future__ import annotations

import numpy as np
import pandas as pd

from homeostat.core.rollout.evidence import LATENCY_EDGES_MS
from homeostat.core.rollout.health.latency import quantile

__all__ = ["count_latency", "quantile"]


def count_latency(rows: pd.DataFrame) -> tuple[int, ...]:
    """Count the requests of logged rows by latency; trailing zeros are left out.

    A request of several rows counts once: a row's request is named by its ``_request_id``.
    """
    requests = rows.drop_duplicates("_request_id")["_latency_ms"].dropna()
    bins = np.searchsorted(LATENCY_EDGES_MS, requests.to_numpy(float), side="left")
    counts = np.trim_zeros(np.bincount(bins), "b")
    return tuple(int(count) for count in counts)
