"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.config import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("24h", 86400),
        ("180d", 180 * 86400),
        ("2w", 14 * 86400),
        (" 1.5h ", 5400),
        ("0s", 0),
    ],
)
def test_a_number_and_a_unit(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", [60, 1.5, None, "", "h", "60", "-1h", "1y", "1h30m", "1e3s", True, ["1h"], "9" * 400 + "d"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"24h|180d"):
        parse_duration(text)


@given(st.timedeltas(timedelta(0), timedelta(days=20_000)))
def test_what_is_written_is_read_back(span):
    assert abs(parse_duration(format_duration(span)) - span) <= timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("seconds", "text"), [(90, "90s"), (3600, "1h"), (86400, "1d"), (1_234_567, "1234567s"), (0.5, "0.5s")]
)
def test_the_largest_unit_with_a_whole_number_is_written(seconds, text):
    assert format_duration(timedelta(seconds=seconds)) == text
