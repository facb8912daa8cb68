"""When checks count as stopped: three periods, and never less than ten minutes."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.trigger import silent_after

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("every", "limit"),
    [
        (timedelta(seconds=20), 10 * MINUTE),
        (MINUTE, 10 * MINUTE),
        (timedelta(minutes=5), 15 * MINUTE),
        (timedelta(hours=1), timedelta(hours=3)),
    ],
)
def test_the_limit_of_a_period(every, limit):
    assert silent_after(every) == limit


@given(st.timedeltas(timedelta(seconds=1), timedelta(days=400)))
def test_no_two_missed_checks_and_no_delay_of_minutes_are_silence(every):
    assert silent_after(every) > 2 * every
    assert silent_after(every) >= 10 * MINUTE
