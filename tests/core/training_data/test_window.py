from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config.errors import DataError
from homeostat.config.model import BadPeriod, Training
from homeostat.core.training_data import recency_weights, select_window, split_holdout

END = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def hours(*back):
    return pd.DataFrame({"t": pd.to_datetime([END - HOUR * b for b in back], utc=True), "back": back})


def training(kind="sliding", bad=(), **window):
    return Training.model_validate({"window": {"kind": kind} | window, "bad_periods": list(bad)})


def test_a_sliding_window_includes_its_start_and_not_its_end():
    rows = select_window(hours(-1, 0, 1, 24, 25), training(length="24h"), END, "t")
    assert rows.back.tolist() == [1, 24]


@pytest.mark.parametrize("kind", ["expanding", "recency"])
def test_the_other_windows_take_all_of_the_past(kind):
    rows = select_window(hours(-1, 0, 1, 24, 10_000), training(kind, half_life="1d"), END, "t")
    assert rows.back.tolist() == [1, 24, 10_000]


def test_a_length_bounds_the_other_windows_too():
    assert select_window(hours(1, 50), training("expanding", length="24h"), END, "t").back.tolist() == [1]


def test_a_bad_period_is_an_interval_with_its_start_and_without_its_end():
    bad = {"start": END - 10 * HOUR, "end": END - 5 * HOUR}
    moments = hours(11, 10, 9.5, 7, 5.5, 5, 4)
    rows = select_window(moments, training(bad=[bad], length="24h"), END, "t")
    assert rows.back.tolist() == [11, 5, 4]


def test_bad_periods_may_overlap_and_a_time_without_a_zone_is_utc():
    bad = [
        {"start": datetime(2024, 2, 29, 20), "end": datetime(2024, 2, 29, 22)},  # noqa: DTZ001  # as YAML gives it
        {"start": datetime(2024, 2, 29, 21, tzinfo=UTC), "end": END},
    ]
    rows = select_window(hours(5, 4, 3, 2, 1), training(bad=bad, length="24h"), END, "t")
    assert rows.back.tolist() == [5]


def test_bad_periods_of_another_zone_cut_the_same_instants():
    berlin = timedelta(hours=1)
    start = (END - 2 * HOUR).astimezone(tz=None)
    bad = BadPeriod(start=start, end=start + berlin)
    rows = select_window(hours(3, 2, 1), Training(bad_periods=(bad,)), END, "t")
    assert rows.back.tolist() == [3, 1]


def test_a_row_of_one_half_life_weighs_a_half_exactly():
    weights = recency_weights(hours(0, 24, 48, 12)["t"], END, timedelta(hours=24))
    assert weights.tolist() == [1.0, 0.5, 0.25, 0.5**0.5]


@settings(max_examples=60)
@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=20), st.integers(1, 10**7))
def test_weights_are_half_to_the_power_of_age_over_half_life(seconds, half_life):
    moments = pd.Series(pd.to_datetime([END - timedelta(seconds=s) for s in seconds], utc=True))
    weights = recency_weights(moments, END, timedelta(seconds=half_life))
    assert weights.tolist() == pytest.approx([0.5 ** (s / half_life) for s in seconds], rel=1e-12)
    assert ((weights >= 0) & (weights <= 1)).all()


def test_a_row_after_the_windows_end_is_refused():
    with pytest.raises(ValueError, match="later than"):
        recency_weights(hours(1, -1)["t"], END, HOUR)


def test_the_holdout_is_the_most_recent_share():
    train, holdout = split_holdout(hours(*range(10, 0, -1)), 0.2, "t")
    assert holdout.back.tolist() == [2, 1]
    assert train.back.tolist() == list(range(10, 2, -1))


def test_rows_of_one_instant_are_never_split():
    train, holdout = split_holdout(hours(5, 4, 3, 3, 3, 1), 0.34, "t")
    assert holdout.back.tolist() == [3, 3, 3, 1]
    assert train.back.tolist() == [5, 4]


def test_something_is_left_to_train_on():
    train, holdout = split_holdout(hours(3, 3, 3, 1), 0.5, "t")
    assert (len(train), len(holdout)) == (3, 1)


@pytest.mark.parametrize("frame", [hours(1, 1, 1), hours(1), hours()], ids=["one instant", "one row", "none"])
def test_rows_of_one_time_are_refused(frame):
    with pytest.raises(DataError, match="different times"):
        split_holdout(frame, 0.2, "t")


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 30), min_size=2, max_size=60).filter(lambda x: len(set(x)) > 1),
    st.floats(0.05, 0.95),
)
def test_every_training_row_is_older_than_every_holdout_row(back, share):
    train, holdout = split_holdout(hours(*back), share, "t")
    assert sorted([*train.back, *holdout.back]) == sorted(back)
    assert train["t"].max() < holdout["t"].min()


def test_the_rows_order_does_not_matter_for_the_split():
    rng = np.random.default_rng(0)
    rows = hours(*range(20))
    shuffled = rows.iloc[rng.permutation(20)]
    for one, other in zip(split_holdout(rows, 0.3, "t"), split_holdout(shuffled, 0.3, "t"), strict=True):
        pd.testing.assert_frame_equal(one, other)
