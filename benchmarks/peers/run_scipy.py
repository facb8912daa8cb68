"""The loop that tutorials show: ks_2samp or chi-square per column, and PSI on ten quantile bins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy
from timing import CATEGORIES, NUMBERS, run

Found = dict[str, tuple[float, float]]


def check(reference: pd.DataFrame, window: pd.DataFrame) -> Found:
    """Column to its p-value and PSI."""
    found = {}
    for name in NUMBERS:
        before, now = reference[name].to_numpy(), window[name].to_numpy()
        p_value = scipy.stats.ks_2samp(before, now).pvalue
        edges = np.unique(np.quantile(before, np.linspace(0, 1, 11)))[1:-1]
        found[name] = p_value, psi(*(np.bincount(np.digitize(x, edges), minlength=11) for x in (before, now)))
    for name in CATEGORIES:
        table = pd.concat([reference[name].value_counts(), window[name].value_counts()], axis=1).fillna(0)
        counts = table.to_numpy()
        found[name] = scipy.stats.chi2_contingency(counts).pvalue, psi(counts[:, 0], counts[:, 1])
    return found


def psi(before: np.ndarray, now: np.ndarray) -> float:
    """Population stability index, empty bins taken for a millionth."""
    p, q = (np.maximum(counts / counts.sum(), 1e-6) for counts in (before, now))
    return float(((q - p) * np.log(q / p)).sum())


def read(found: Found) -> tuple[bool | None, int]:
    """Drifted columns are those with p < 0.05; drift is more than 30 % of them, as such loops have it."""
    drifted = sum(p_value < 0.05 for p_value, _ in found.values())
    return bool(drifted > 0.3 * len(found)), int(drifted)


if __name__ == "__main__":
    run("scipy loop", scipy.__version__, lambda reference: reference, check, read)
