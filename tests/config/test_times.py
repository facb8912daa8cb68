"""Every time is in UTC, and one without a zone always was."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from homeostat.config.times import parse_utc, utc

SEVEN = datetime(2026, 1, 5, 7, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 1, 5, 7, 0),  # noqa: DTZ001  # without a zone is the case
        datetime(2026, 1, 5, 7, 0, tzinfo=UTC),
        datetime(2026, 1, 5, 12, 30, tzinfo=timezone(timedelta(hours=5.5))),
    ],
    ids=str,
)
def test_a_time_in_any_zone_or_none_is_the_same_instant_in_utc(moment):
    assert utc(moment) == SEVEN
    assert utc(moment).tzinfo is UTC


@pytest.mark.parametrize("text", ["2026-01-05T07:00", "2026-01-05T07:00Z", "2026-01-05T12:30+05:30"])
def test_text_is_read_the_same_way(text):
    assert parse_utc(text) == SEVEN
    assert parse_utc(text).tzinfo is UTC


def test_a_text_that_is_not_a_time_or_out_of_range_is_an_error():
    with pytest.raises(ValueError, match="yesterday"):
        parse_utc("yesterday")
    with pytest.raises(OverflowError):
        parse_utc("0001-01-01T00:00+05:00")
