"""The schedule of the drift checks in Airflow."""

from datetime import timedelta

import pytest

from homeostat_airflow.dag_factory import schedule

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("every", "cron"),
    [
        (MINUTE, "*/1 * * * *"),
        (15 * MINUTE, "*/15 * * * *"),
        (HOUR, "0 */1 * * *"),
        (6 * HOUR, "0 */6 * * *"),
        (DAY, "0 0 * * *"),
        (7 * DAY, "0 0 * * 1"),
    ],
)
def test_a_period_that_divides_an_hour_a_day_or_a_week_starts_at_full_ones(every, cron):
    assert schedule(every) == cron


@pytest.mark.parametrize(
    "every",
    [
        timedelta(seconds=20),
        timedelta(seconds=90),
        timedelta(milliseconds=500),
        7 * MINUTE,
        90 * MINUTE,
        HOUR + timedelta(seconds=20),
        5 * HOUR,
        2 * DAY,
    ],
)
def test_any_other_period_is_taken_as_it_is(every):
    assert schedule(every) == every
