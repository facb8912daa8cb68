"""Tables of many columns are typed in one step: pandas warns of frames that grow column by column."""

import warnings

import numpy as np
import pandas as pd
import pytest

from homeostat.config import ModelConfig
from homeostat.core.training_data import coerce_rows
from homeostat.core.training_data.quarantine_causes import REASON

COLUMNS = 200


def config(kind):
    features = {f"f{i}": {"type": kind} for i in range(COLUMNS)}
    return ModelConfig.model_validate(
        {
            "name": "wide",
            "task": "classification",
            "pipeline": "pipeline.py:build",
            "source": {"kind": "csv", "uri": "x.csv"},
            "schema": {"label": {"name": "y"}, "features": features},
        }
    )


@pytest.mark.parametrize(("kind", "dtype"), [("number", float), ("number", object), ("category", object)])
def test_a_wide_table_is_typed_without_a_warning(kind, dtype):
    rng = np.random.default_rng(0)
    columns = {f"f{i}": pd.Series(rng.integers(0, 9, 50).astype(dtype)) for i in range(COLUMNS)}
    columns["timestamp"] = pd.Series(pd.date_range("2026-01-01", periods=50, freq="h").astype(str))
    columns["timestamp"][3] = "never"
    columns["f7"][3] = None
    # Each column in memory of its own, as a file is read.
    frame = pd.DataFrame(columns | {"y": [0, 1] * 25}, copy=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.PerformanceWarning)
        found = coerce_rows(frame, config(kind), label=True)
    assert len(found.rows) == 49
    assert found.quarantined.shape == (1, COLUMNS + 3)
    assert "timestamp" in found.quarantined[REASON].iloc[0]
    assert [float(each) for each in found.quarantined["f8"]] == [float(columns["f8"][3])]
    assert found.quarantined["f7"].isna().all()
