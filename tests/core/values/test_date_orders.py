"""The order of day and month that a file takes from others, and when its own dates speak against it."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.values.date_orders import decide_orders
from homeostat.core.values.dates import weigh_dates

DMY, MDY = "%d/%m/%Y", "%m/%d/%Y"


def days(first: str, number: int, step: int = 1) -> list[date]:
    return [date.fromisoformat(first) + timedelta(days=step * at) for at in range(number)]


def evidence(moments: list[date], written: str):
    texts = [moment.strftime(written) for moment in moments]
    return weigh_dates(pa.array(texts, pa.string()), np.ones(len(texts), dtype=np.int64))


def decide(*files: tuple[list[date], str], asked=None):
    return decide_orders({at: evidence(*file) for at, file in enumerate(files)}, asked)


@pytest.mark.parametrize(("sure", "other"), [(DMY, MDY), (MDY, DMY)])
@pytest.mark.parametrize(
    "moments",
    [
        days("2024-02-01", 12),  # after January
        days("2024-01-01", 12),  # within
        days("2024-06-01", 3),
        days("2024-03-05", 7),
    ],
)
def test_dates_that_fit_better_in_the_other_order_are_ambiguous(sure, other, moments):
    decision = decide((days("2024-01-01", 280), sure), (moments, other))
    expected = ("mdy", "dmy") if other == MDY else ("dmy", "mdy")
    assert decision.ambiguous == {"/4": expected}
    assert decision.orders[1] == {}
    assert "in the other order" in decision.doubts["/4"].describe()


def test_one_day_far_from_the_others_is_ambiguous_where_the_other_order_is_near():
    spring = days("2024-01-01", 91)
    april = [date(2024, 4, 10)]
    assert decide((spring, DMY), (april, MDY)).ambiguous == {"/4": ("mdy", "dmy")}  # 4 October, or 10 April
    assert decide((spring, DMY), (april, DMY)).orders[1] == {"/4": "dmy"}
    october = [date(2024, 10, 5)]  # half a year later; 10 May is nearer, but not near
    assert decide((spring, DMY), (october, DMY)).ambiguous == {"/4": ("mdy", "dmy")}


@given(
    first=st.dates(date(2000, 1, 1), date(2040, 1, 1)),
    length=st.integers(32, 400),
    gap=st.integers(0, 20),
    number=st.integers(1, 12),
    written=st.sampled_from([DMY, MDY]),
)
@settings(max_examples=200, deadline=None)
def test_a_file_that_goes_on_soon_is_read_in_the_order_of_the_others(first, length, gap, number, written):
    start = first + timedelta(days=length + gap)
    start = start.replace(day=1) if start.day > 12 else start
    later = [each for each in (start + timedelta(days=at) for at in range(number)) if each.day <= 12]
    known = [first + timedelta(days=at) for at in range(length)]
    decision = decide((known, written), (later, written))
    order = "dmy" if written == DMY else "mdy"
    crossed = [each.strftime("%d/%m/%Y") == each.strftime("%m/%d/%Y") for each in later]
    if decision.ambiguous:  # only where the other order puts all dates among or close to the others
        other = [date(each.year, each.day, each.month) for each in later]
        assert not all(crossed)
        assert (max(later) - known[-1]).days > 31 or min(later) < known[0]
        assert min(other) >= known[0] - timedelta(days=31)
    else:
        assert decision.orders[1] == {"/4": order}


def test_a_folder_of_days_is_read_in_one_order():
    moments = days("2023-12-11", 400)
    decision = decide(*(([moment], DMY) for moment in moments))
    assert not decision.ambiguous
    assert all(orders == {"/4": "dmy"} for orders in decision.orders.values())
    assert {0} == {at for at in decision.taken if moments[at] == moments[0]}
    assert len(decision.taken) == sum(moment.day <= 12 for moment in moments)


def test_files_of_a_few_random_days_are_read_in_one_order():
    rng = np.random.default_rng(0)
    year = days("2024-01-01", 366)
    parts = [[year[at] for at in rng.integers(0, 366, 6)] for _ in range(300)]
    assert sum(max(day.day for day in part) <= 12 for part in parts) > 0
    decision = decide(*((part, DMY) for part in parts))
    assert {tuple(orders.items()) for orders in decision.orders.values()} == {(("/4", "dmy"),)}
    assert not decision.ambiguous


def test_an_asked_order_is_for_the_files_that_it_fits():
    full, part = days("2024-01-01", 60), days("2024-02-01", 12)
    assert decide((full, DMY), (part, MDY), asked={"/4": "mdy"}).orders == {
        0: {"/4": "dmy"},
        1: {"/4": "mdy"},
    }
    assert decide((full, DMY), (part, DMY), asked={"/4": "dmy"}).orders[1] == {"/4": "dmy"}
    assert decide((full, DMY), asked={"/4": "mdy"}).orders == {0: {"/4": "mdy"}}  # and most are unread
    nearly = [*part * 10, date(2024, 2, 20)]  # one date does not outweigh the format
    assert decide((nearly, MDY), (part, DMY), asked={"/4": "dmy"}).orders[0] == {"/4": "dmy"}
