import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config import ModelConfig
from homeostat.config.errors import DataError, EmptyWindow, QualityRefused
from homeostat.config.model import Label, Monitor
from homeostat.core.training_data import assemble
from homeostat.core.training_data.holdout import move_split, split_holdout

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


@pytest.mark.parametrize(("more", "holdout"), [({}, 12), ({"holdout": 0.2}, 20)])
def test_a_window_becomes_training_and_holdout_in_the_order_of_time(more, holdout):
    snapshot = assemble(hourly().sample(frac=1, random_state=0), config(**more), END)
    assert (len(snapshot.train), len(snapshot.holdout)) == (100 - holdout, holdout)
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


def test_too_many_unreadable_rows_refuse_and_are_all_returned():
    temp = hourly().temp.astype(object)
    temp.iloc[-20:-10] = "hot"
    temp.iloc[-10:] = 11.0
    with pytest.raises(QualityRefused, match=r"20 of 100 rows") as refused:
        assemble(hourly(temp=temp), config(), END)
    assert len(refused.value.quarantined) == 20


def test_labels_of_unknown_classes_refuse_the_data_with_the_reason():
    columns = config().columns
    label = Label(name="y", classes=["No", "Yes"])
    listed = config().model_copy(update={"columns": columns.model_copy(update={"label": label})})
    y = ["Yes", "No"] * 90 + ["1", "0"] * 10
    with pytest.raises(QualityRefused) as refused:
        assemble(hourly(y=y), listed, END)
    assert (
        "20 of 100 rows (20.0%) were quarantined: 20 by column 'y' (not in schema.label.classes, for example "
        "'1'); training.max_quarantined allows 10.0%"
    ) in str(refused.value)
    assert refused.value.quarantined["reason"].tolist() == ["y: unknown_class"] * 20
    with pytest.raises(EmptyWindow, match=r"100 in the window quarantined \(100 by column 'y' \(not in"):
        assemble(hourly(y=["1", "0"] * 100), listed, END)


def test_an_empty_window_is_not_computable():
    with pytest.raises(EmptyWindow, match="no usable rows"):
        assemble(hourly(), config(), END - timedelta(days=365))


def test_no_rows_at_all_are_an_empty_window():
    with pytest.raises(EmptyWindow):
        assemble(hourly().iloc[:0], config(), END)


def test_too_few_rows_are_refused_with_the_setting_to_change():
    with pytest.raises(DataError, match=r"100 usable rows.*training\.min_rows is 500"):
        assemble(hourly(), config(min_rows=500), END)


def test_weights_that_all_vanish_are_refused():
    with pytest.raises(DataError, match="half_life"):
        assemble(hourly(), config(window={"kind": "recency", "half_life": "0.0001s"}), END)


def test_the_report_is_plain_json():
    json.dumps(assemble(hourly(), config(), END).report, allow_nan=False)


# The holdout begins where the champion's knowledge ends


def monitored(every_window="24h", min_rows=10, **training):
    monitor = Monitor(every="1h", window=every_window, min_rows=min_rows)
    return config(holdout=0.4, **training).model_copy(update={"monitor": monitor})


def since(hours):
    return END - timedelta(hours=hours)


def test_rows_that_the_champion_was_trained_on_move_to_the_training_side():
    snapshot = assemble(hourly(), monitored(), END, unseen_since=since(30))
    assert (len(snapshot.train), len(snapshot.holdout)) == (70, 30)
    assert snapshot.holdout.timestamp.min() == since(30)
    assert snapshot.train.timestamp.max() == since(31)
    assert snapshot.train.timestamp.is_monotonic_increasing
    assert snapshot.report["holdout"] == {
        "rows": 30,
        "from": since(30).isoformat(),
        "to": since(1).isoformat(),
    }
    assert snapshot.report["train"]["rows"] == 70


@pytest.mark.parametrize(("known", "probe"), [(since(40), True), (since(60), False), (None, True)])
def test_a_champion_trained_on_none_of_the_holdout_moves_nothing(known, probe):
    """Hour 40 is less than two windows ago; without a probe the age of the champion does not matter."""
    snapshot = assemble(hourly(), monitored(), END, unseen_since=known, probe=probe)
    assert (len(snapshot.train), len(snapshot.holdout)) == (60, 40)
    assert snapshot.newest is None


@pytest.mark.parametrize(
    ("known", "window", "min_rows", "hours", "gap"),
    [
        (46, "24h", 10, 24, 22 / 24),
        (45, "24h", 10, None, None),  # less than 0.9 windows for the probe to learn
        (60, "24h", 10, 24, 36 / 24),
        (90, "24h", 30, 30, 2.0),  # a day has too few rows: the window is longer
        (1000, "24h", 10, 24, 976 / 24),
        (1000, "24h", 91, None, None),  # fewer than training.min_rows would be left to learn
        (1000, "24h", 100, None, None),
        (1000, "24h", 101, None, None),
    ],
)
def test_the_holdout_of_an_old_champion_is_the_newest_window(known, window, min_rows, hours, gap):
    snapshot = assemble(hourly(), monitored(window, min_rows), END, unseen_since=since(known))
    if hours is None:
        assert snapshot.newest is None
        return
    assert snapshot.newest.gap == pytest.approx(gap)
    assert (snapshot.newest.begin, snapshot.newest.end) == (since(hours), END)
    assert snapshot.holdout.timestamp.min() == since(hours)
    assert snapshot.train.timestamp.max() == since(hours + 1)
    assert len(snapshot.train) + len(snapshot.holdout) == 100


def test_labels_that_end_early_end_the_window_there():
    late = assemble(hourly(), monitored(), END + timedelta(hours=40), unseen_since=since(60))
    assert len(late.holdout) == 24
    assert late.newest.end == since(1) + timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("hours", "window", "min_rows", "moved"),
    [
        (23, "24h", 10, True),  # 22 of 24 hours from the first row to the last
        (22, "24h", 10, False),
        (3, "24h", 1, False),
        (30, "24h", 30, True),
        (30, "24h", 31, False),
        (0, "24h", 1, False),
        (-5, "24h", 1, False),
    ],
)
def test_too_few_unseen_rows_leave_the_split_as_it_was(hours, window, min_rows, moved):
    snapshot = assemble(hourly(), monitored(window, min_rows), END, unseen_since=since(hours))
    assert len(snapshot.holdout) == (hours if moved else 40)


def test_recency_weights_belong_to_the_rows_that_were_moved_too():
    recency = {"kind": "recency", "half_life": "24h", "length": "100h"}
    snapshot = assemble(hourly(), monitored(window=recency), END, unseen_since=since(30))
    assert snapshot.weights.shape == (70,)
    assert snapshot.weights[-1] == 0.5 ** (31 / 24)


def test_a_time_without_a_zone_is_utc():
    snapshot = assemble(hourly(), monitored(), END, unseen_since=since(30).replace(tzinfo=None))
    assert len(snapshot.holdout) == 30


@settings(max_examples=40, deadline=None)
@given(
    hours=st.lists(st.integers(0, 20), min_size=2, max_size=30),
    share=st.floats(0.05, 0.95),
    known=st.integers(-5, 25),
)
def test_moving_the_split_loses_no_row_and_mixes_no_times(hours, share, known):
    rows = pd.DataFrame({"at": [END + timedelta(hours=h) for h in hours], "row": range(len(hours))})
    if rows["at"].nunique() < 2:
        return
    train, holdout = split_holdout(rows, share, "at")
    at = END + timedelta(hours=known)
    more, rest = move_split(train, holdout, at, "at")
    assert sorted([*more["row"], *rest["row"]]) == list(range(len(hours)))
    assert (rest["at"] >= at).all()
    assert len(more) >= len(train)
    assert more["at"].is_monotonic_increasing
    assert rest.empty or more["at"].max() < rest["at"].min()
