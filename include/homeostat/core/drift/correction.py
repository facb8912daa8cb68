"""Correct p-values for the number of features: Benjamini and Hochberg's method."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Return adjusted p-values: alarms below alpha have at most a share alpha of false ones.

    Y. Benjamini, Y. Hochberg, "Controlling the false discovery rate" (1995). A None is left out of the
    correction and stays None. The order is that of the input.
    """
    known = [at for at, p in enumerate(p_values) if p is not None]
    raw = np.array([p_values[at] for at in known], dtype=np.float64)
    order = np.argsort(raw)[::-1]
    scaled = raw[order] * raw.size / np.arange(raw.size, 0, -1)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum.accumulate(np.minimum(scaled, 1.0)) if raw.size else scaled
    out: list[float | None] = [None] * len(p_values)
    for at, p in zip(known, adjusted.tolist(), strict=True):
        out[at] = p
    return out
