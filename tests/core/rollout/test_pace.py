"""How long a rollout takes at a model's traffic."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.rollout import describe_pace, first_step, rollout_pace
from rollout_plan import PLAN

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DEFAULT = replace(
    PLAN, shadow=DAY, shadow_min_samples=200, min_samples=200, max_shadow=30 * DAY, max_step=30 * DAY
)


def test_much_traffic_takes_the_durations_of_the_settings():
    assert [phase.expected for phase in rollout_pace(DEFAULT, 10_000)] == [DAY, HOUR, HOUR]
    assert describe_pace(DEFAULT, 10_000) == (
        "at 1e+04 rows an hour: shadow 1 day, canary step 1 (10%) 1 hour, canary step 2 (50%) 1 hour;"
        " about 26 hours in all"
    )


def test_39_rows_a_day_skip_the_first_step_and_take_two_weeks():
    assert describe_pace(DEFAULT, 39 / 24) == (
        "at 1.62 rows an hour: shadow 5.13 days, canary step 1 (10%) is skipped (200 rows take 51.3 days,"
        " canary.max_step_duration is 30 days), canary step 2 (50%) 10.3 days; about 15.4 days in all"
    )


def test_too_little_traffic_names_the_settings():
    assert describe_pace(DEFAULT, 0.1).endswith(
        "canary step 2 (50%) would end as inconclusive: 200 rows take 167 days, canary.max_step_duration is"
        " 30 days; lower canary.min_samples or raise canary.max_step_duration"
    )
    assert "shadow would end as inconclusive: no rows come" in describe_pace(DEFAULT, 0)


def test_a_rollout_of_release_0_1_skips_no_step():
    assert first_step(replace(DEFAULT, max_step=None), 0.01) == 0


@given(rows=st.floats(0, 1e6), more=st.floats(1, 100))
def test_more_traffic_never_takes_longer_and_never_skips_more(rows, more):
    slow, fast = rollout_pace(DEFAULT, rows), rollout_pace(DEFAULT, rows * more)
    assert first_step(DEFAULT, rows * more) <= first_step(DEFAULT, rows) or rows == 0
    for one, other in zip(slow, fast, strict=True):
        assert other.needed is None or one.needed is None or other.needed <= one.needed
        assert not (one.fits and not other.fits)
