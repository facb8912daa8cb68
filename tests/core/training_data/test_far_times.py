"""Rows far off in time: the years 1, 1970 and 9999 among a history, and what is none of them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.training_data import find_far_times

HOURS = pd.Series(pd.date_range("2024-01-01", periods=1500, freq="h", tz="UTC")).dt.as_unit("us")


def and_also(*texts):
    more = pd.Series(pd.to_datetime(list(texts), utc=True, format="ISO8601")).dt.as_unit("us")
    return pd.concat([HOURS, more], ignore_index=True)


@pytest.mark.parametrize(
    ("texts", "before", "after"),
    [
        ([], 0, 0),
        (["9999-12-31"], 0, 1),
        (["2030-01-01"], 0, 1),
        (["0001-01-01"], 1, 0),
        (["1970-01-01", "9999-12-31 23:59:59"], 1, 1),
        (["1970-01-01"] * 15 + ["2099-01-01"] * 15, 15, 15),
        (["2030-01-01"] * 40, 0, 0),  # too many to be a mistake of few rows
        (["2024-03-20"], 0, 0),  # a pause of weeks
        ([None], 0, 0),
    ],
)
def test_few_rows_beyond_a_long_gap_are_far_off(texts, before, after):
    found = find_far_times(and_also(*texts))
    assert (found.before.sum(), found.after.sum()) == (before, after)
    assert not (found.before | found.after)[: len(HOURS)].any()


def test_a_history_that_began_with_few_rows_or_paused_has_none():
    grew = pd.concat([HOURS[::24] - pd.Timedelta(days=700), HOURS, HOURS + pd.Timedelta(days=400)])
    found = find_far_times(grew.reset_index(drop=True))
    assert not (found.before | found.after).any()


def test_the_sentence_names_value_row_and_cure():
    times = and_also("9999-12-31")
    found = find_far_times(times)
    assert found.sentence("at", times, found.after) == (
        "1 row is left out because its 'at' is far from all others, which lie between 2024-01-01 and "
        "2024-03-03: 9999-12-31 (row 1501); correct the time, or delete the row"
    )
    assert found.sentence("at", times, found.before) == ""


@given(st.lists(st.integers(-(10**5), 10**5), max_size=200), st.randoms())
def test_the_order_of_rows_does_not_matter_and_few_are_far_off(days, random):
    times = pd.Series(
        np.array(days, dtype="m8[D]") + np.datetime64("2024-01-01"), dtype="datetime64[us, UTC]"
    )
    found = find_far_times(times)
    far = found.before | found.after
    assert found.before.sum() <= max(1, len(days) // 100)
    assert found.after.sum() <= max(1, len(days) // 100)
    order = list(range(len(days)))
    random.shuffle(order)
    shuffled = find_far_times(times.iloc[order].reset_index(drop=True))
    assert (shuffled.before | shuffled.after).tolist() == far[order].tolist()
