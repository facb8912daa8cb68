"""A reference by hour: unchanged for its own hours, and a cycle is not drift."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config.errors import DataError
from homeostat.config.model import Monitor
from homeostat.core.drift import compare_profiles
from homeostat.core.profile import Profile, Reference, Season, codec, count_dataframe, season, slot_totals

MONDAY = pd.Timestamp("2026-03-02", tz="UTC")
KINDS = {"x": "number", "c": "category"}


def rows_of(hours, per_hour=60, seed=0):
    """Return rows of these hours since Monday, with other values in every hour."""
    rng = np.random.default_rng(seed)
    hour = np.repeat(hours, per_hour)
    x = np.where(rng.random(len(hour)) < 0.05, np.nan, rng.integers(0, 40, len(hour)) + hour % 24)
    at = MONDAY + pd.to_timedelta(hour, unit="h") + pd.to_timedelta(rng.integers(0, 3600, len(hour)), "s")
    return pd.DataFrame({"x": x, "c": np.where(hour % 7 < 2, "rest", "work"), "at": at})


def reference_of(rows, kind="hour_of_day"):
    reference = Reference.fit(rows, KINDS)
    return replace(reference, season=Season.from_rows(reference.edges, rows, rows["at"], kind))


def reweighted(reference, rows):
    return reference.for_window(
        slot_totals(reference.season.slots_of(rows["at"]), len(reference.season.rows))
    )


DAYS = rows_of(np.arange(24 * 8))
BY_DAY, BY_WEEK = reference_of(DAYS), reference_of(DAYS, "hour_of_week")


@pytest.mark.parametrize("reference", [BY_DAY, BY_WEEK], ids=["day", "week"])
def test_reweighted_to_its_own_hours_it_is_the_reference_to_the_last_row(reference):
    assert reweighted(reference, DAYS) == reference.profile
    assert reference.for_window(None) == reference.profile
    assert reference.for_window(np.zeros(24, np.int64)) == reference.profile


@pytest.mark.parametrize("hour", [0, 5, 23])
def test_a_window_of_one_hour_is_compared_with_the_reference_rows_of_that_hour(hour):
    there = DAYS[DAYS["at"].dt.hour == hour]
    assert reweighted(BY_DAY, rows_of([hour + 24 * 30], seed=3)) == count_dataframe(BY_DAY.edges, there)


@settings(max_examples=60, deadline=None)
@given(rows_per_slot=st.lists(st.integers(0, 500), min_size=24, max_size=24).filter(any))
def test_reweighting_gives_the_weighted_mean_in_the_effective_number_of_rows(rows_per_slot):
    found = BY_DAY.for_window(np.array(rows_per_slot))
    share = np.array(rows_per_slot) / sum(rows_per_slot)
    own, n = BY_DAY.season.counts["x"], BY_DAY.season.rows
    assert found.rows == int(1 / (share**2 / n).sum() + 1e-9)
    assert found.rows <= BY_DAY.profile.rows
    expected = np.cumsum((share / n) @ own)
    counts = found.features["x"]
    cumulated = np.cumsum([counts.missing, counts.unseen, *counts.slots])
    np.testing.assert_allclose(cumulated, expected * found.rows, atol=0.5 + 1e-6)
    assert all(counts.rows == found.rows for counts in found.features.values())


def test_weeks_begin_on_monday_and_hours_are_utc():
    at = ["2026-03-02T00:10+01:00", "2026-03-02T00:10Z", "1969-12-29T01:00Z", None]
    at = pd.to_datetime(pd.Series(at), utc=True, format="ISO8601")
    assert BY_WEEK.season.slots_of(at).tolist() == [167, 0, 1, -1]
    assert BY_DAY.season.slots_of(at).tolist() == [23, 0, 1, -1]
    assert BY_DAY.season.slots_of(at.dt.tz_localize(None)).tolist() == [23, 0, 1, -1]


def test_a_slot_of_few_rows_borrows_from_the_hours_around_it_and_from_no_others():
    rows = rows_of(np.arange(24), per_hour=season.MIN_SLOT_ROWS // 3 + 1)
    reference = reference_of(rows)
    nearby = rows[rows["at"].dt.hour.isin([22, 23, 0])]
    assert reweighted(reference, rows_of([23])) == count_dataframe(reference.edges, nearby)
    sparse = reference_of(rows_of(np.arange(0, 24, 12), per_hour=10))
    assert sparse.season.covers(np.arange(24)).nonzero()[0].tolist() == [0, 1, 2, 10, 11, 12, 13, 14, 22, 23]
    assert not sparse.season.covers(np.array([-1]))[0]


def test_rows_borrowed_by_two_hours_count_once_as_evidence():
    few = reference_of(rows_of(np.arange(24), per_hour=20))
    assert reweighted(few, rows_of([5, 6])).rows < 4 * 20


def test_bytes_survive_a_round_trip_and_do_not_change_without_a_season():
    for reference in (BY_DAY, BY_WEEK):
        again = Reference.from_bytes(reference.to_bytes())
        assert again == reference
        assert again.digest == reference.digest != replace(reference, season=None).digest
    plain = Reference.fit(DAYS, KINDS)
    body = {"frames": plain.edges.to_body(), "profile": plain.profile.to_body()}
    assert plain.to_bytes() == codec.pack("reference", body)
    assert Reference.from_bytes(plain.to_bytes()).season is None


def test_a_season_on_other_edges_is_refused():
    body = json.loads(json.dumps(BY_DAY.season.to_body()))
    short = {name: rows[1:] for name, rows in body["counts"].items()}
    for damage in (
        {"kind": "hour_of_moon"},
        {"width": 5},
        {"slots": [0] * 24},
        {"slots": [99, *range(1, 24)]},
        {"counts": short},
        {"counts": {**body["counts"], "x": body["counts"]["c"]}},
    ):
        with pytest.raises(DataError, match="not a season"):
            Season.from_body(body | damage, BY_DAY.edges)


def test_a_reference_of_very_many_features_has_longer_slots(monkeypatch):
    monkeypatch.setattr(season, "MAX_COUNTS", 1000)
    found = reference_of(DAYS, "hour_of_week").season
    assert found.width > 1
    assert found.rows.sum() == len(DAYS)
    assert sum(table.size for table in found.counts.values()) <= 1000


def test_a_reference_without_rows_has_an_empty_season():
    empty = reference_of(DAYS[:0])
    assert not empty.season.covers(np.arange(24)).any()
    assert Reference.from_bytes(empty.to_bytes()) == empty


# A stream with a daily and a weekly cycle, autocorrelated noise, and no drift.
FEATURES = 5
PER_HOUR = 250


def stream(hours, seed, noise, shift=0.0):
    """Rows of consecutive hours: cycles, AR(1) noise that all rows of an hour share, noise of each row."""
    rng = np.random.default_rng(seed)
    h = np.arange(hours)
    columns = {}
    for i in range(FEATURES):
        shared = np.zeros(hours)
        for t in range(1, hours):
            shared[t] = 0.8 * shared[t - 1] + rng.normal(scale=0.6 * noise)
        cycle = np.sin(2 * np.pi * (h + 3 * i) / 24) + 0.7 * (h // 24 % 7 >= 5)
        columns[f"x{i}"] = np.repeat(cycle + shared, PER_HOUR) + rng.normal(size=hours * PER_HOUR)
        if i < 2:  # 40 % of the features, and half a standard deviation of a row
            columns[f"x{i}"] += shift
    return pd.DataFrame(columns).assign(at=MONDAY + pd.to_timedelta(np.repeat(h, PER_HOUR), unit="h"))


def weekly(noise):
    rows = stream(5 * 168, 1, noise)
    reference = Reference.fit(rows, {f"x{i}": "number" for i in range(FEATURES)})
    return replace(reference, season=Season.from_rows(reference.edges, rows, rows["at"], "hour_of_week"))


def alerts(reference, rows, hours, *, seasonal):
    """Share of the windows of so many hours that alert."""
    steps = [
        (count_dataframe(reference.edges, part), slot_totals(reference.season.slots_of(part["at"]), 168))
        for part in (rows[i : i + PER_HOUR] for i in range(0, len(rows), PER_HOUR))
    ]
    found = []
    for i in range(0, len(steps), hours):
        window, rows_per_slot = Profile.empty(reference.edges), np.zeros(168, np.int64)
        for profile, part in steps[i : i + hours]:
            window, rows_per_slot = window + profile, rows_per_slot + part
        held = reference.for_window(rows_per_slot if seasonal else None)
        found.append(compare_profiles(held, window, Monitor()).verdict == "alert")
    return float(np.mean(found))


# Noise that all rows of an hour share makes that hour different; only longer windows average it out.
@pytest.mark.exhaustive
@pytest.mark.parametrize(("hours", "noise"), [(1, 0.05), (6, 0.1), (24, 0.2)])
def test_a_season_cuts_false_alerts_on_a_cycle_tenfold_and_still_finds_a_shift(hours, noise):
    reference = weekly(noise)
    calm, moved = stream(2 * 168, 2, noise), stream(168, 3, noise, shift=0.5)
    plain = alerts(reference, calm, hours, seasonal=False)
    assert plain > 0.2
    assert alerts(reference, calm, hours, seasonal=True) <= plain / 10
    assert alerts(reference, moved, hours, seasonal=True) >= 0.95


@pytest.mark.parametrize("composition", ["even", "one hour", "unlike the reference"])
def test_p_values_keep_their_level(composition):
    """Rows within an hour independent: at most 5 % of the windows may have p < 0.05 in a feature."""
    rng = np.random.default_rng(5)
    n = rng.integers(60, 400, 24)
    rows_per_slot = {"even": np.full(24, 20), "one hour": np.eye(24, dtype=int)[7] * 300}.get(
        composition, rng.integers(0, 60, 24)
    )
    rejected, tries = 0, 150
    for _ in range(tries):
        rows = pd.DataFrame({"at": MONDAY + pd.to_timedelta(np.repeat(np.arange(24), n), unit="h")})
        rows["x"] = rng.normal(rows["at"].dt.hour / 6)
        reference = Reference.fit(rows, {"x": "number"})
        reference = replace(
            reference, season=Season.from_rows(reference.edges, rows, rows["at"], "hour_of_day")
        )
        window = pd.DataFrame({"x": rng.normal(np.repeat(np.arange(24), rows_per_slot) / 6)})
        report = compare_profiles(
            reference.for_window(rows_per_slot), count_dataframe(reference.edges, window), Monitor()
        )
        rejected += report.features[0].p_value < 0.05
    assert rejected / tries <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / tries)
