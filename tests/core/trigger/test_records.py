"""What a window's record says about itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from health_story import record

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
CALM = replace(record(MIDNIGHT), drift="pass", performance="pass", fired=False, decayed_slices={})


def drawn(every: timedelta) -> list[datetime]:
    ends = [MIDNIGHT + count * every for count in range(int(timedelta(days=1) / every))]
    return [end for end in ends if replace(CALM, window_end=end).has_figures(every)]


@pytest.mark.parametrize("minutes", [5, 60, 360])
def test_a_calm_day_has_figures_of_its_first_and_its_last_window(minutes):
    every = timedelta(minutes=minutes)
    assert drawn(every) == [MIDNIGHT, MIDNIGHT + timedelta(days=1) - every]


def test_a_daily_check_has_figures_every_day():
    assert replace(CALM, window_end=MIDNIGHT + 5 * HOUR).has_figures(timedelta(days=1))


@pytest.mark.parametrize(
    "change",
    [{"drift": "alert"}, {"performance": "alert"}, {"fired": True}, {"decayed_slices": {"kind=a": 0.2}}],
    ids=lambda change: next(iter(change)),
)
def test_an_alert_has_figures_at_any_time(change):
    noon = replace(CALM, window_end=MIDNIGHT + 12 * HOUR)
    assert not noon.has_figures(HOUR)
    assert replace(noon, **change).has_figures(HOUR)
