"""The comparator of the benchmark: its boundaries are the published ones and hold alpha."""

from __future__ import annotations

import numpy as np
import pytest
from group_sequential import boundaries, obrien_fleming, pocock
from scipy.stats import binom


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        (pocock, (2.438, 2.427, 2.410, 2.397, 2.386)),
        (obrien_fleming, (4.877, 3.357, 2.680, 2.290, 2.031)),
    ],
)
def test_five_looks_at_one_sided_2_5_per_cent(spending, published):
    assert boundaries(spending, 5, 0.025) == pytest.approx(published, abs=0.003)


@pytest.mark.parametrize("spending", [pocock, obrien_fleming])
def test_all_looks_together_spend_alpha(spending):
    looks, runs, alpha = 20, 20_000, 0.01
    steps = np.random.default_rng(1).normal(size=(runs, looks))
    z = steps.cumsum(axis=1) / np.sqrt(np.arange(1, looks + 1))
    hits = int((z >= np.array(boundaries(spending, looks, alpha))).any(axis=1).sum())
    assert binom.ppf(0.001, runs, alpha) <= hits <= binom.ppf(0.999, runs, alpha)
