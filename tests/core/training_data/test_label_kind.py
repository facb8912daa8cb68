"""A label with a value of its own in most rows is a measure, not a class."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from homeostat.core.training_data import as_label, why_not_classes

RNG = np.random.default_rng(0)
REGRESSION = "so it is a number and no class: write task: regression into model.yaml"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (RNG.normal(size=450), f"has 450 different values in 450 rows, {REGRESSION}"),
        (RNG.normal(size=450).round(1), REGRESSION),
        ([f"{x:.3f}" for x in RNG.normal(size=450)], REGRESSION),
        (RNG.permutation(450), REGRESSION),
        ([f"order {at}" for at in range(450)], "too many to learn as classes: check schema.label.name"),
        (RNG.integers(0, 2, 450), ""),
        (RNG.integers(0, 50, 450), ""),
        (RNG.integers(0, 60, 4500), ""),
        (np.repeat([0.5, 1.0, 1.5], 50), ""),
        (["yes", "no"] * 10, ""),
        (["a", "b", None] * 10, ""),
    ],
)
def test_classes_repeat(values, reason):
    found = why_not_classes(as_label(pd.Series(values), "classification").column)
    assert reason in found
    assert bool(found) is bool(reason)
