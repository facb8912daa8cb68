"""The record of ageing: what a probe and the windows after it add, and what counts as a window."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.adapters.store_memory import MemoryStore
from homeostat.core.performance import AgeingObservation
from homeostat.storage.ageing_record import (
    AgeingRecord,
    ProbeRecord,
    load_ageing,
    save_ageing,
    with_reference,
)
from homeostat.storage.ageing_steps import (
    AgeingStep,
    load_steps,
    observed_since_probe,
    save_steps,
    whole_windows,
)
from homeostat.storage.members import save_members

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def observed(hours, champion="1", gain=0.1):
    return AgeingObservation(START + hours * HOUR, champion, "all", 2.0, gain, 0.01)


def probe(learned=24, until=48, digest="d"):
    return ProbeRecord(digest, "1", "all", START + learned * HOUR, START + until * HOUR, 0.9, 100, 0.1, "m")


def step(hour, rows=10, **more):
    return AgeingStep(START + hour * HOUR, rows, "1", **more)


def test_before_the_first_probe_the_record_is_empty():
    record = load_ageing(MemoryStore(), "sample")
    assert (record, record.window_or(DAY), record.probed) == (AgeingRecord(), DAY, 0)
    assert load_steps(MemoryStore(), "sample") == []


def test_it_survives_the_store():
    store = MemoryStore()
    record = AgeingRecord(2 * DAY, 3.5).with_observations([observed(1), observed(90)]).with_probe(probe())
    save_ageing(store, "sample", record)
    assert load_ageing(store, "sample") == record
    key = "standing/sample/ageing.json"
    raw = json.loads(store.get(key))
    raw["probes"][0]["of_later"] = 1
    store.put(key, json.dumps(raw).encode(), overwrite=True)
    assert load_ageing(store, "sample") == record
    assert (record.window_or(DAY), record.window_or(3 * DAY)) == (2 * DAY, 3 * DAY)


def test_the_newest_comparison_of_a_window_counts():
    record = AgeingRecord(DAY).with_observations([observed(24, gain=0.1), observed(48, gain=0.2)])
    again = record.with_observations([observed(50, gain=0.3)])
    assert [each.gain for each in again.observations] == [0.1, 0.3], (
        "shares most of the window with the second"
    )
    other = record.with_observations([observed(48, champion="2", gain=0.3)])
    assert len(other.observations) == 3, "another champion's window"
    assert record.with_observations(record.observations) == record
    assert len(record.with_observations(observed(24 * n) for n in range(600)).observations) == 512


def test_every_choice_of_members_keeps_its_observations_of_the_reference():
    store = MemoryStore()
    of_reference = [
        {
            "end": (START + day * DAY).isoformat(),
            "members": members,
            "gap": 4.0,
            "gain": 0.1 * day,
            "variance": 0.01,
        }
        for day in (1, 2)
        for members in ("all+short", "all", "short")
    ]
    save_members(store, "sample", "digest", {"record": {"ageing": of_reference}})
    record = with_reference(AgeingRecord(DAY), store, "sample", "digest")
    assert len(record.observations) == 6
    # A retrain adds all that it knew to the record that is stored by then, which is empty at first.
    stored = AgeingRecord(DAY).with_observations([*record.observations, observed(96)])
    assert sorted(each.members for each in stored.observations if not each.champion) == sorted(
        each["members"] for each in of_reference
    )
    assert stored.with_observations(record.observations) == stored


def test_probes_are_counted_once_and_the_last_ones_kept():
    record = AgeingRecord(DAY)
    for day in range(20):
        record = record.with_probe(probe(24 * day, 24 * day + 24, f"d{day}"))
    assert record.with_probe(record.probes[-1]) == record
    assert (record.probed, len(record.probes), record.probes[-1].digest) == (20, 8, "d19")


def test_steps_survive_the_store_and_a_later_check_replaces_one():
    store = MemoryStore()
    steps = [step(2, probe="d", blocks=((3.0, 0.5),)), step(1), step(2, rows=4)]
    save_steps(store, "sample", steps)
    assert load_steps(store, "sample") == [step(1), step(2, rows=4)]
    save_steps(store, "sample", [step(hour) for hour in range(600)])
    assert next(iter(load_steps(store, "sample"))).due == START + 88 * HOUR


@pytest.mark.parametrize(
    ("hours", "rows", "min_rows", "expected"),
    [
        (range(1, 49), 10, 100, [24, 48]),
        (range(1, 48), 10, 100, [24]),  # the second day is not complete
        (range(1, 49), 1, 30, [30]),  # rare labels make windows longer
        ([*range(1, 25), *range(100, 130)], 10, 100, [24, 109]),  # a gap is no window of its own
        ([], 10, 100, []),
    ],
)
def test_a_window_is_a_day_and_has_enough_rows(hours, rows, min_rows, expected):
    found = whole_windows([step(hour, rows) for hour in hours], START, DAY, min_rows)
    assert [(part[-1].due - START) / HOUR for part in found] == expected


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.integers(0, 50), max_size=80), min_rows=st.integers(1, 300), shuffle=st.randoms())
def test_windows_do_not_overlap_and_have_enough_rows(rows, min_rows, shuffle):
    steps = [step(hour + 1, count) for hour, count in enumerate(rows)]
    found = whole_windows(steps, START, DAY, min_rows)
    shuffle.shuffle(steps)
    assert whole_windows(steps, START, DAY, min_rows) == found
    flat = [each for part in found for each in part]
    assert flat == sorted({each.due: each for each in flat}.values(), key=lambda each: each.due)
    assert all(sum(each.rows for each in part) >= min_rows for part in found)
    begins = [START, *(part[-1].due for part in found)]
    assert all(part[-1].due - begin >= DAY for begin, part in zip(begins, found, strict=False))


def since_probe(steps, record, learned=0, champion="1", members="all"):
    return observed_since_probe(
        steps,
        record,
        champion=champion,
        members=members,
        learned_until=START + learned * HOUR,
        window=DAY,
        min_rows=20,
    )


def test_windows_after_the_newest_probe_are_observed():
    record = AgeingRecord(DAY, scale=2.0).with_probe(probe(24, 48))
    blocks = ((5.0, 1.0), (5.0, 0.0))
    steps = [step(hour, probe="d", blocks=blocks) for hour in range(30, 100)]
    found = since_probe(steps, record)
    assert [(each.end - START) / HOUR for each in found] == [72, 96], "the probe has observed the first 48"
    assert {(each.gap, each.champion, each.members) for each in found} == {(1.0, "1", "all")}
    assert [each.gain for each in found] == pytest.approx([0.05, 0.05]), "in parts of the scale"
    assert since_probe(steps, record, champion="2") == []
    assert since_probe(steps, record, learned=24) == [], "no fresher than the champion"
    assert since_probe(steps, record, members="all+short") == [], "it learned from other rows"
    assert since_probe(steps, AgeingRecord(DAY)) == []
    assert since_probe([step(hour, probe="older", blocks=blocks) for hour in range(49, 100)], record) == []
