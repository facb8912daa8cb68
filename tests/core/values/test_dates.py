"""Dates as text: every format reads back what it wrote, and nobody guesses what cannot be known."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config.date_format import date_format_of
from homeostat.core.values.date_orders import decide_orders
from homeostat.core.values.dates import parse_dates, weigh_dates

FORMATS = [
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d-%m-%Y", "%d/%m/%Y", "%m/%d/%Y", "%m-%d-%Y"),
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%b %d, %Y", "%a, %d %b %Y"),
]
FIRST, LAST = datetime(1970, 1, 1), datetime(2060, 1, 1)  # noqa: DTZ001  # strftime writes what has no zone
TIMES = ["", " %H:%M", " %H:%M:%S", "T%H:%M:%S.%f", " %I:%M %p", " %H:%M:%S+00:00"]


def evidence(*texts: str):
    return weigh_dates(pa.array(texts, pa.string()), np.ones(len(texts), dtype=np.int64))


@pytest.mark.parametrize("day", FORMATS)
@given(
    moments=st.lists(st.datetimes(FIRST, LAST), min_size=1, max_size=30),
    time=st.sampled_from(TIMES),
)
@settings(max_examples=20, deadline=None)
def test_every_format_reads_back_what_it_wrote(day, moments, time):
    if "m" in day:  # enough days to tell day, month and year apart
        moments = [*moments, *(LAST - timedelta(days=13 * n) for n in range(60))]
    texts = pa.array([each.strftime(day + time) for each in moments])
    decision = decide_orders({"file": weigh_dates(texts, np.ones(len(moments), dtype=np.int64))})
    assert not decision.ambiguous
    right = [
        datetime.strptime(text, day + time).replace(tzinfo=UTC).timestamp() for text in texts.to_pylist()
    ]
    assert parse_dates(texts, decision.orders["file"]).tolist() == pytest.approx(right, abs=1e-5)


@pytest.mark.parametrize("day", ["%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%d-%b-%y", "%d-%b-%Y"])
@pytest.mark.parametrize("time", ["-%H.%M.%S.%f", " %I.%M.%S.%f000 %p", " %H.%M", " %H.%M.%S"])
def test_times_with_points_read_back_what_was_written(day, time):
    moments = [datetime(2024, 1, 1, 0, 0, 30) + timedelta(hours=7 * n, minutes=n) for n in range(300)]  # noqa: DTZ001
    texts = pa.array([each.strftime(day + time).upper() for each in moments])
    decision = decide_orders({"file": weigh_dates(texts, np.ones(len(moments), dtype=np.int64))})
    exact = "%S" in time
    right = [(each if exact else each.replace(second=0)).replace(tzinfo=UTC).timestamp() for each in moments]
    assert parse_dates(texts, decision.orders["file"]).tolist() == right


@pytest.mark.parametrize(
    "text",
    [
        *("2024年01月31日 10:30:15", "2024年1月31日10时30分15秒", "2024年1月31日 10時30分15秒"),
        *(
            "2024년 1월 31일 10시 30분 15초",
            "２０２４／０１／３１ １０：３０：１５",
            "２０２４年１月３１日 10:30:15",
        ),
    ],
)
def test_dates_with_signs_and_wide_digits_are_dates(text):
    assert parse_dates(pa.array([text]), {})[0] == datetime(2024, 1, 31, 10, 30, 15, tzinfo=UTC).timestamp()


@given(st.lists(st.text(alphabet="0123456789-/.: TZJanfeb,+", max_size=24), max_size=20))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_date_or_none(texts):
    decision = decide_orders({"file": evidence(*texts)})
    found = parse_dates(pa.array(texts, pa.string()), decision.orders["file"])
    assert found.shape == (len(texts),)


@pytest.mark.parametrize(
    "text",
    ["2024-13-01", "2024-02-30", "31/31/2024", "2024-01-01 25:00", "31-Foo-2024", "10:30", "1.2.3", "x", ""],
)
def test_what_is_no_date_is_not_read(text):
    assert np.isnan(parse_dates(pa.array([text, "x"]), {"/4": "dmy"}))[0]


def test_the_order_is_each_file_s_own():
    decision = decide_orders({"eu": evidence("31/01/2024", "01/02/2024"), "us": evidence("01/31/2024")})
    assert decision.orders == {"eu": {"/4": "dmy"}, "us": {"/4": "mdy"}}
    assert not decision.ambiguous


def test_a_file_that_leaves_the_order_open_takes_that_of_the_others():
    open_order = evidence("01/02/2024")
    assert decide_orders({1: open_order, 2: evidence("31/01/2024")}).orders[1] == {"/4": "dmy"}
    both = {1: open_order, 2: evidence("31/01/2024"), 3: evidence("01/31/2024")}
    assert decide_orders(both).ambiguous == {"/4": ("dmy", "mdy")}
    assert np.isnan(parse_dates(pa.array(["01/02/2024"]), decide_orders({1: open_order}).orders[1])).all()


def test_a_year_of_two_digits_is_the_field_with_fewer_values():
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(60)]
    for order, written in (("dmy", "%d-%m-%y"), ("ymd", "%y-%m-%d")):
        found = decide_orders({"file": evidence(*(day.strftime(written) for day in days))})
        assert found.orders["file"] == {"-2": order}
    assert decide_orders({"file": evidence("10-11-12")}).ambiguous == {"-2": ("dmy", "mdy", "ymd")}


@pytest.mark.parametrize(
    ("unit", "number"),
    [("s", "86400"), ("ms", "86400000"), ("us", "86400000000"), ("ns", "8.64e13"), ("d", "1")],
)
def test_numbers_count_from_1970_in_the_unit_that_is_asked_for(unit, number):
    assert parse_dates(pa.array([number, "1970-01-03"]), {}, unit).tolist() == [86_400, 2 * 86_400]


def test_a_format_that_is_asked_for_reads_what_it_fits():
    found = parse_dates(pa.array(["20240131", "2024-01-31", "x"]), {}, "%Y%m%d")
    day = datetime(2024, 1, 31, tzinfo=UTC).timestamp()
    assert found[:2].tolist() == [day, day]
    assert np.isnan(found[2])


def test_a_format_decides_the_order_in_its_layout():
    found = parse_dates(pa.array(["01/02/2024", "02/28/2024", "01/02/2024 12:00"]), {"/4": "mdy"}, "%d/%m/%Y")
    day = datetime(2024, 2, 1, tzinfo=UTC).timestamp()
    assert found[[0, 2]].tolist() == [day, day + 43_200]
    assert np.isnan(found[1])


@pytest.mark.parametrize("text", ["%d/%m/%Y", "%Y%m%d", "%d-%b-%y %H:%M", "%Y-%j", "ms", "d"])
def test_formats_that_tell_days_apart_are_accepted(text):
    assert date_format_of(text) == text


@pytest.mark.parametrize("text", ["", "dd/mm/yyyy", "%H:%M", "%d/%m", "%m/%Y", "%Q", "m"])
def test_formats_that_do_not_are_refused_with_an_example(text):
    with pytest.raises(ValueError, match="no format of dates: write day, month and year as %d/%m/%Y"):
        date_format_of(text)
