"""How long a rollout takes at a model's traffic."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from homeostat.config import parse_duration
from homeostat.core.rollout import RolloutPace, TrafficRate, first_step, rollout_pace
from rollout_plan import PLAN

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DEFAULT = replace(
    PLAN, shadow=DAY, shadow_min_samples=200, min_samples=200, max_shadow=30 * DAY, max_step=30 * DAY
)


def described(rows_per_hour, plan=DEFAULT):
    pace = RolloutPace.of(plan, TrafficRate(rows_per_hour, "x"))
    return pace.sentence.partition(": ")[2], pace.remedy


def test_much_traffic_takes_the_durations_of_the_settings():
    assert [phase.expected for phase in rollout_pace(DEFAULT, 10_000)] == [DAY, HOUR, HOUR]
    assert described(10_000) == (
        "shadow 1 day, canary step 1 (10%) 1 hour, canary step 2 (50%) 1 hour; about 26 hours in all",
        "",
    )


def test_39_rows_a_day_skip_the_first_step_and_take_two_weeks():
    sentence, remedy = described(39 / 24)
    assert remedy == ""
    assert sentence == (
        "shadow 5.13 days (200 rows; shadow.duration is 1 day), canary step 1 (10%) is skipped (200 rows take"
        " 51.3 days, canary.max_step_duration is 30 days), canary step 2 (50%) 10.3 days (200 rows;"
        " canary.step_duration is 1 hour); about 15.4 days in all"
    )


def test_one_row_an_hour_has_no_canary():
    plan = replace(DEFAULT, skip_step=3 * DAY, shadow_wait=3 * DAY, reverse_shadow=DAY)
    sentence, remedy = described(1, plan)
    assert remedy == ""
    assert sentence == (
        "shadow 3 days (shadow.wait_for_samples; 200 rows would take 8.33 days), canary step 1"
        " (10%) is skipped (200 rows take 83.3 days,"
        " canary.skip_longer_than is 3 days), canary step 2 (50%) is skipped (200 rows take 16.7 days,"
        " canary.skip_longer_than is 3 days); about 3 days in all. So little traffic has no canary: the"
        " version is promoted after its shadow, and the former champion stays in shadow for 7 days"
    )


@given(rows=st.just(0.0) | st.floats(1e-6, 1e6))
def test_a_step_is_skipped_only_where_its_rows_take_too_long(rows):
    plan = replace(DEFAULT, skip_step=3 * DAY, reverse_shadow=DAY)
    for phase in rollout_pace(plan, rows)[1:]:
        assert phase.skipped is (phase.needed is not None and phase.needed > 3 * DAY)


def test_too_little_traffic_names_settings_that_fit():
    sentence, remedy = described(0.1)
    assert sentence.endswith(
        "canary step 2 (50%) would end as inconclusive (200 rows take 167 days, canary.max_step_duration is"
        " 30 days)"
    )
    assert remedy == (
        "lower shadow.min_samples to 72 or raise shadow.max_duration to 84d;"
        " lower canary.min_samples to 36 or raise canary.max_step_duration to 167d"
    )
    mended = replace(DEFAULT, shadow_min_samples=72, max_step=parse_duration("167d"))
    assert described(0.1, mended)[1] == ""


def test_almost_no_traffic_suggests_no_duration_of_years():
    assert described(1e-9)[1] == "raise shadow.max_duration; raise canary.max_step_duration"


def test_no_traffic():
    sentence, remedy = described(0)
    assert "shadow would end as inconclusive (no rows come, shadow.max_duration is 30 days)" in sentence
    assert remedy == "send requests through the gateway"


def test_a_rate_is_written_for_people():
    assert str(TrafficRate(39 / 24, "in the last 24 hours")) == "1.62 rows an hour (in the last 24 hours)"
    assert str(TrafficRate(12_345.6, "--rows-per-hour")) == "12,346 rows an hour (--rows-per-hour)"
    assert str(TrafficRate(1, "x")) == "1 row an hour (x)"


def test_the_json_has_seconds():
    assert rollout_pace(DEFAULT, 100)[1].to_json() == {
        "name": "canary step 1 (10%)",
        "rows": 200,
        "planned_seconds": 3600.0,
        "needed_seconds": 72000.0,
        "longest_seconds": 2592000.0,
        "expected_seconds": 72000.0,
        "fits": True,
        "skipped": False,
    }


def test_a_rollout_of_release_0_1_skips_no_step():
    assert first_step(replace(DEFAULT, max_step=None), 0.01) == 0


@given(rows=st.floats(0, 1e6), more=st.floats(1, 100))
def test_more_traffic_never_takes_longer_and_never_skips_more(rows, more):
    slow, fast = rollout_pace(DEFAULT, rows), rollout_pace(DEFAULT, rows * more)
    assert first_step(DEFAULT, rows * more) <= first_step(DEFAULT, rows) or rows == 0
    for one, other in zip(slow, fast, strict=True):
        assert other.needed is None or one.needed is None or other.needed <= one.needed
        assert not (one.fits and not other.fits)
