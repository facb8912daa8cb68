"""The checks of many models are spread over the hour, each always at the same minute."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from croniter import croniter  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from homeostat.config import load_model
from homeostat.config.check_times import DAY, HOUR, WEEK, cron_expression, has_fixed_times, spread_delay
from homeostat.config.errors import ConfigError

MINUTE = timedelta(minutes=1)
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
#: Every period of whole minutes that divides an hour, and of whole hours that divides a day; a day; a week.
PERIODS = [
    *(n * MINUTE for n in range(1, 60) if 60 % n == 0),
    *(n * HOUR for n in range(1, 24) if 24 % n == 0),
    DAY,
    WEEK,
]
MODEL = """
name: fraud
task: classification
pipeline: pipeline.py:build
source: {kind: csv, uri: rows.csv}
schema: {label: {name: y}, features: {x: {type: number}}}
monitor: {%s}
"""


def load(folder, monitor):
    (folder / "fraud").mkdir(exist_ok=True)
    (folder / "fraud" / "model.yaml").write_text(MODEL % monitor)
    return load_model(folder / "fraud")


@given(st.sampled_from(PERIODS), st.data())
def test_the_cron_expression_runs_at_full_periods_and_the_delay(every, data):
    delay = data.draw(st.integers(0, every // MINUTE - 1)) * MINUTE
    runs = croniter(cron_expression(every, delay), MONDAY - timedelta(seconds=1), ret_type=datetime)
    found = [runs.get_next() for _ in range(40)]
    assert found[0] == MONDAY + delay
    assert {later - sooner for sooner, later in pairwise(found)} == {every}


@pytest.mark.parametrize("every", [20, 90, 7 * 60, 90 * 60, 3620, 5 * 3600, 2 * 86400, 14 * 86400])
def test_other_periods_have_no_fixed_times_and_no_delay(every):
    every = timedelta(seconds=every)
    assert cron_expression(every, timedelta(0)) is None
    assert not has_fixed_times(every)
    assert spread_delay("fraud", every) == timedelta(0)


@given(st.text("abcxyz_09", min_size=1), st.sampled_from(PERIODS))
def test_the_delay_is_whole_minutes_within_the_period_and_within_an_hour(name, every):
    delay = spread_delay(name, every)
    assert timedelta(0) <= delay < min(every, HOUR)
    assert delay % MINUTE == timedelta(0)


def test_the_delay_of_a_name_never_changes():
    # SHA-256 of the name, its first eight bytes as a number, modulo the minutes; computed elsewhere.
    found = {name: spread_delay(name, HOUR) // MINUTE for name in ("fraud", "churn", "bike_demand")}
    assert found == {"fraud": 25, "churn": 23, "bike_demand": 36}
    assert spread_delay("fraud", 15 * MINUTE) // MINUTE == 10


def test_a_thousand_models_are_spread_evenly():
    minutes = Counter(spread_delay(f"model_{n:04d}", HOUR) // MINUTE for n in range(1000))
    assert len(minutes) == 60
    assert max(minutes.values()) < 2.5 * 1000 / 60


def test_the_delay_of_a_model_is_spread_unless_its_model_yaml_says_otherwise(tmp_path):
    assert load(tmp_path, "every: 1h").check_delay == spread_delay("fraud", HOUR)
    assert load(tmp_path, "every: 1h, delay: auto").check_delay == spread_delay("fraud", HOUR)
    assert load(tmp_path, "every: 1h, delay: 0s").check_delay == timedelta(0)
    assert load(tmp_path, "every: 1d, window: 1d, delay: 90m").check_delay == timedelta(minutes=90)
    assert load(tmp_path, "every: 1h, runs_on: lambda").check_delay == timedelta(0)


@pytest.mark.parametrize(
    ("monitor", "words"),
    [
        ("every: 1h, delay: 60m", "shorter than 'every'"),
        ("every: 1h, delay: 90s", "whole minutes"),
        ("every: 90m, window: 90m, delay: 5m", "divides an hour, a day or a week"),
        ("every: 1h, delay: soon", "'soon' is not a duration"),
        ("every: 1h, delay: 10", "10 is not a duration"),
    ],
)
def test_a_delay_that_cannot_be_kept_is_an_error_that_names_it(tmp_path, monitor, words):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, monitor)
    assert words in str(caught.value)
    assert "monitor" in str(caught.value)
