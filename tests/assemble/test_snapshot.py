import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from homeostat.assemble import assemble
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError, EmptyWindow, QualityRefused

END = datetime(2024, 3, 1, tzinfo=UTC)


def config(**training):
    return ModelConfig.model_validate(
        {
            "name": "bike",
            "task": "classification",
            "pipeline": "pipeline.py:build",
            "source": {"kind": "csv", "uri": "x.csv"},
            "schema": {
                "label": {"name": "y"},
                "features": {"temp": {"type": "number", "range": [0, 10]}, "season": {"type": "category"}},
            },
            "training": {"window": {"kind": "sliding", "length": "100h"}, "min_rows": 10} | training,
        }
    )


def hourly(count=200, **columns):
    rng = np.random.default_rng(0)
    base = {
        "timestamp": pd.date_range(end=END - timedelta(hours=1), periods=count, freq="h"),
        "temp": rng.uniform(0, 1, count),
        "season": rng.choice(["1", "2"], count),
        "y": rng.integers(0, 2, count),
    }
    return pd.DataFrame(base | columns)


def test_a_window_becomes_training_and_holdout_in_the_order_of_time():
    snapshot = assemble(hourly().sample(frac=1, random_state=0), config(), END)
    assert (len(snapshot.train), len(snapshot.holdout)) == (80, 20)
    assert snapshot.train.timestamp.is_monotonic_increasing
    assert snapshot.train.timestamp.max() < snapshot.holdout.timestamp.min()
    assert snapshot.weights is None


def test_recency_weights_belong_to_the_training_rows():
    window = {"kind": "recency", "half_life": "24h"}
    snapshot = assemble(hourly(), config(window=window), END)
    assert snapshot.weights.shape == (len(snapshot.train),)
    age = (END - snapshot.train.timestamp.iloc[-1]) / timedelta(hours=24)
    assert snapshot.weights[-1] == 0.5**age


def test_bad_rows_are_quarantined_from_both_checks_and_all_rows_add_up():
    temp = hourly().temp.astype(object)
    temp.iloc[-1], temp.iloc[-2], temp.iloc[0] = "hot", 11.0, "outside the window"
    snapshot = assemble(hourly(temp=temp), config(), END)
    assert len(snapshot.quarantined) == 2
    assert snapshot.quarantined.columns[-1] == "reason"
    assert snapshot.report["rows_in_window"] == 100
    assert len(snapshot.train) + len(snapshot.holdout) + len(snapshot.quarantined) == 100


def test_rows_whose_time_cannot_be_read_are_quarantined_too():
    moments = hourly().timestamp.astype(str).to_numpy(dtype=object)
    moments[3] = "at noon"
    snapshot = assemble(hourly(timestamp=moments), config(), END)
    assert snapshot.quarantined.timestamp.tolist() == ["at noon"]


def test_too_many_unreadable_rows_refuse_and_are_all_handed_over():
    temp = hourly().temp.astype(object)
    temp.iloc[-20:-10] = "hot"
    temp.iloc[-10:] = 11.0
    with pytest.raises(QualityRefused, match=r"20 of 100 rows") as refused:
        assemble(hourly(temp=temp), config(), END)
    assert len(refused.value.quarantined) == 20


def test_an_empty_window_is_not_computable():
    with pytest.raises(EmptyWindow, match="no usable rows"):
        assemble(hourly(), config(), END - timedelta(days=365))


def test_no_rows_at_all_are_an_empty_window():
    with pytest.raises(EmptyWindow):
        assemble(hourly().iloc[:0], config(), END)


def test_too_few_rows_are_refused_with_the_key_to_change():
    with pytest.raises(DataError, match=r"100 usable rows.*training\.min_rows asks for 500"):
        assemble(hourly(), config(min_rows=500), END)


def test_weights_that_all_vanish_are_refused():
    with pytest.raises(DataError, match="half_life"):
        assemble(hourly(), config(window={"kind": "recency", "half_life": "0.0001s"}), END)


def test_the_report_is_plain_json():
    json.dumps(assemble(hourly(), config(), END).report, allow_nan=False)
