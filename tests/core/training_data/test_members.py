"""What a version learns from, in rows: the data's own pace decides, not days."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.config.model import Monitor, Training
from homeostat.core.training_data import Member, member_rows, members, window_rows


def training(**more):
    return Training.model_validate({"min_rows": 1000} | more)


def hours(n):
    return pd.Series(pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC"))


def names(found):
    return [member.name for member in found]


def test_lengths_follow_the_rows_of_a_window_and_min_rows():
    found = members(20_000, 168, training())
    assert found == (Member("all"), Member("middle", 4000, 1000), Member("short", 1000))
    half_hourly = members(20_000, 336, training())
    assert [member.rows for member in half_hourly] == [None, 5376, 1344]


@given(rows=st.integers(1, 10**7), window=st.integers(1, 10**5), least=st.integers(1, 10**5))
def test_members_coincide_only_where_the_history_is_short(rows, window, least):
    found = members(rows, window, training(min_rows=least))
    short = max(least, 4 * window)
    assert names(found) == (["all"] if rows <= short else ["all", "middle", "short"])
    for member in found:
        assert member.rows is None or member.rows >= least


@pytest.mark.parametrize(
    ("recipes", "expected"),
    [(["short", "all"], ["all", "short"]), (["middle"], ["middle"]), (["all"], ["all"])],
)
def test_recipes_limit_the_members(recipes, expected):
    assert names(members(20_000, 168, training(recipes=recipes))) == expected
    assert len(members(500, 168, training(recipes=recipes))) == 1


@pytest.mark.parametrize("recipes", [[], ["third"]])
def test_unknown_or_no_recipes_are_refused(recipes):
    with pytest.raises(ValueError, match="recipes"):
        training(recipes=recipes)


def test_without_weights_the_middle_stretch_is_left_out_until_it_differs_from_all():
    assert names(members(3000, 168, training(), weighted=False)) == ["all", "short"]
    assert names(members(5000, 168, training(), weighted=False)) == ["all", "middle", "short"]
    assert members(5000, 168, training(), weighted=False)[1].half_life_rows is None


@pytest.mark.parametrize("kind", ["sliding", "expanding", "recency"])
def test_other_windows_have_one_member(kind):
    window = {"kind": kind, "length": "30d", "half_life": "9d"}
    assert members(20_000, 168, training(window=window)) == (Member(kind),)


@given(n=st.integers(1, 300), rows=st.integers(1, 400), half=st.integers(1, 100))
def test_the_newest_rows_are_taken_and_weights_halve(n, rows, half):
    part, weights = member_rows(hours(n), Member("middle", rows, half))
    assert (part.start, part.stop) == (max(n - rows, 0), n)
    assert len(weights) == min(rows, n)
    assert weights[-1] == 1
    np.testing.assert_allclose(weights[:-half], weights[half:] / 2)


def test_rows_of_one_time_stay_together():
    days = pd.Series(pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.arange(50) // 10, "D"))
    assert member_rows(days, Member("short", 15))[0] == slice(30, 50)
    assert member_rows(days, Member("all")) == (slice(0, 50), None)


def test_a_window_has_its_median_rows_and_at_least_min_rows():
    monitor = Monitor(every=timedelta(days=7), window=timedelta(days=7), min_rows=100)
    assert window_rows(hours(168 * 10 + 5), monitor) == 168
    gap = pd.concat([hours(168 * 3), hours(168 * 3) + pd.Timedelta(weeks=50)], ignore_index=True)
    assert window_rows(gap, monitor) == 168
    assert window_rows(hours(1000), Monitor()) == 100
    assert window_rows(hours(0), Monitor()) == 100


def test_members_are_described_in_rows():
    assert Member("all").describe(9000) == "all rows"
    assert Member("middle", 4032, 1008).describe(9000) == "middle 4,032 rows"
    assert Member("middle", 4032, 1008).describe(2000) == "middle 2,000 rows"
