"""A window's counts are those of all its rows at once, whatever was kept, lost, damaged or late before."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.adapters import fake_ports
from homeostat.config import ModelConfig
from homeostat.core.profile import Reference, Season, count_dataframe, slot_totals
from homeostat.core.rollout import VersionRef
from homeostat.monitoring.context import CheckContext
from homeostat.monitoring.window import WindowCounts
from homeostat.storage import prediction_log as log
from homeostat.storage import rolling_counts as sums

T0 = datetime(2026, 1, 5, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
KINDS = {"x": "number", "c": "category", "prediction": "number", "confidence": "number"}


def config_of(every="1h", window="1d", season="none"):
    return ModelConfig.model_validate(
        {
            "name": "m",
            "task": "regression",
            "pipeline": "pipeline.py:build",
            "source": {"kind": "predictions"},
            "schema": {
                "label": {"name": "y", "delay": "1h"},
                "features": {"x": {"type": "number"}, "c": {"type": "category", "categories": ["a", "b"]}},
            },
            "monitor": {"every": every, "window": window, "season": season},
        }
    )


@cache
def reference_of(season):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": rng.integers(0, 6, 400).astype(float),
            "c": rng.choice(["a", "b"], 400),
            "prediction": rng.normal(size=400),
            "confidence": rng.random(400),
        }
    )
    plain = Reference.fit(frame, KINDS, max_edges=8)
    if season == "none":
        return plain
    # Ten hours of every day: some hours are never seen, and their rows are left out.
    times = pd.Series([T0 + HOUR * (i % 10) + DAY * (i // 10) for i in range(400)])
    return Reference(plain.edges, plain.profile, Season.from_rows(plain.edges, frame, times, season))


def looked_of(season="none", **monitor):
    champion = VersionRef(version="1", digest="d")
    return CheckContext(
        config_of(season=season, **monitor), fake_ports(start=T0), champion, reference_of(season)
    )


def serve(looked, sequence, start, *, rows=8, hours=1.0, seed=0, label=None):
    """One file, or two where the rows span hours, as a gateway writes it."""
    rng = np.random.default_rng([seed, sequence])
    columns = {
        "prediction_id": [f"{sequence}-{i}" for i in range(rows)],
        "at": [start + HOUR * float(h) for h in np.sort(rng.random(rows)) * hours],
        "version": rng.choice(["1", "1", "2"], rows).tolist(),
        "variant": rng.choice(["champion", "candidate", "shadow"], rows, p=[0.6, 0.3, 0.1]).tolist(),
        "extra": [None if sequence % 3 else "oil"] * rows,
        "prediction": rng.normal(size=rows).tolist(),
        "confidence": rng.random(rows).tolist(),
        "x.x": [None if v == 7 else float(v) for v in rng.integers(-1, 8, rows)],
        "x.c": [label] * rows if label else rng.choice(["a", "b"], rows).tolist(),
    }
    return log.write_predictions(looked.ports.store, looked.config, "g", sequence, columns)


def at_once(looked, start, end):
    """The same window without steps, sums or anything kept."""
    rows = log.read_predictions(looked.ports.store, looked.config, start, end).rows
    season, frames, strange = looked.reference.season, looked.reference.edges, 0
    if season is not None:
        seen = season.covers(season.slots_of(rows["_at"]))
        rows, strange = rows[seen], int((~seen).sum())
    parts = []
    for part in (rows, rows[rows["_version"] == "1"]):
        named = part.rename(columns={"_prediction": "prediction", "_confidence": "confidence"})
        slots = 0 if season is None else len(season.rows)
        where = np.zeros(0, int) if season is None else season.slots_of(part["_at"])
        parts.append((count_dataframe(frames, named[list(KINDS)]), slot_totals(where, slots).tolist()))
    return (*parts, strange)


def found(window):
    return (
        (window.rows, window.per_slot.tolist()),
        (window.predicted, window.predicted_per_slot.tolist()),
        window.left_out,
    )


def forgetful(looked):
    """The same log in a store that keeps nothing else."""
    ports = fake_ports(start=T0)
    for key in looked.ports.store.list("log/"):
        ports.store.put(key, looked.ports.store.get(key))
    return replace(looked, ports=ports)


def holds(looked, start, end):
    window = WindowCounts(looked, start, end)
    assert found(window) == at_once(looked, start, end)
    anew = WindowCounts(forgetful(looked), start, end)
    assert list(window.findings.items()) == list(anew.findings.items())
    assert window.unreadable == anew.unreadable
    return window


EVENTS = ("on", "back", "late", "torn", "lost", "damaged", "off_grid", "clipped", "again", "far")
STEPS = {"15m": timedelta(minutes=15), "1h": HOUR, "7h": 7 * HOUR, "7d": 7 * DAY}


@settings(max_examples=40, deadline=None)
@given(
    every=st.sampled_from(list(STEPS)),
    steps=st.integers(1, 9),
    season=st.sampled_from(["none", "hour_of_day"]),
    events=st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 10_000)), min_size=2, max_size=8),
)
def test_after_any_history_a_window_counts_exactly_its_rows(every, steps, season, events):
    step = STEPS[every]
    seconds = int(step.total_seconds() * steps)
    looked = looked_of(season, every=every, window=f"{seconds}s")
    store, length = looked.ports.store, steps * step
    for at in range(12):
        serve(looked, at, T0 + length * at / 6, hours=length / HOUR / 5)
    end = T0 + length
    for sequence, (event, number) in enumerate(events, start=100):
        start, shown = end - length, end
        kept = store.list("profiles/")
        if event in ("on", "back", "far"):
            end += step * {"on": 1, "back": -1, "far": number % 12}[event]
            start, shown = end - length, end
        elif event == "late":
            label = "new" if number % 2 else None
            serve(looked, sequence, start + length * (number / 10_001), rows=3, hours=2, label=label)
        elif event == "torn":
            # A file's bytes never change, so it is torn from the beginning.
            (key, *_) = serve(looked, sequence, start + length * (number / 10_001), rows=2)
            store.put(key, store.get(key)[:-30], overwrite=True)
        elif event == "lost" and kept:
            store.delete(kept[number % len(kept)])
        elif event == "damaged" and kept:
            key = kept[number % len(kept)]
            data = bytearray(store.get(key))
            data[number % len(data)] ^= 1 + number % 255
            store.put(key, bytes(data), overwrite=True)
        elif event == "off_grid":
            start, shown = start + step / 3, end + step / 3
        elif event == "clipped":
            start += length * (number / 10_001)
        holds(looked, start, shown)


class Watched:
    """A store that notes what is read of what was kept, and how often the log is listed."""

    def __init__(self, store):
        self._store, self.read, self.listed, self.before_sum = store, [], [], None

    def __getattr__(self, name):
        return getattr(self._store, name)

    def get(self, key):
        if key.startswith("profiles/"):
            self.read.append(key)
        return self._store.get(key)

    def list(self, prefix):
        self.listed.append(prefix)
        return self._store.list(prefix)

    def put(self, key, data, *, overwrite=False):
        if key.endswith(".sum") and self.before_sum:
            self.before_sum()
        self._store.put(key, data, overwrite=overwrite)


def watched(looked):
    store = Watched(looked.ports.store)
    return replace(looked, ports=replace(looked.ports, store=store)), store


def kinds_read(store):
    return [key.rpartition(".")[2] for key in store.read]


@cache
def served_week():
    looked = looked_of(window="7d")
    for hour in range(7 * 24 + 6):
        serve(looked, hour, T0 + hour * HOUR, rows=2)
    return looked


def served_for(days):
    """A week's log with six hours after it, and the window of its last days looked at once."""
    looked = forgetful(served_week())
    end = T0 + 7 * DAY
    WindowCounts(looked, end - days * DAY, end)
    return looked, end


@pytest.mark.parametrize("days", [1, 7])
def test_each_hour_reads_three_objects_and_lists_each_day_once(days):
    looked, end = served_for(days)
    for hour in range(1, 5):
        now = end + hour * HOUR
        seen, store = watched(looked)
        WindowCounts(seen, now - days * DAY, now)
        assert kinds_read(store) == ["sum", "step", "step"], "the new one is not there yet, the other leaves"
        assert len(store.listed) == days + 1
    holds(looked, now - days * DAY, now)


def test_a_second_check_of_a_window_reads_its_sum():
    looked, end = served_for(7)
    seen, store = watched(looked)
    assert found(WindowCounts(seen, end - 7 * DAY, end)) == at_once(looked, end - 7 * DAY, end)
    assert kinds_read(store) == ["sum"]


def test_a_late_file_changes_one_step_of_the_sum():
    looked, end = served_for(7)
    serve(looked, 900, end - 5 * DAY, rows=5, hours=0.5)
    seen, store = watched(looked)
    WindowCounts(seen, end - 7 * DAY, end)
    assert kinds_read(store) == ["sum", "step", "step"], "the old one leaves, its successor is not there yet"
    holds(looked, end - 7 * DAY, end)


def test_two_checks_at_once_and_the_next_are_correct():
    looked, end = served_for(1)
    seen, store = watched(looked)
    later, last = end + 3 * HOUR, end + 4 * HOUR
    store.before_sum = lambda: holds(looked, later - DAY, later)
    window = WindowCounts(seen, end + HOUR - DAY, end + HOUR)
    assert found(window) == at_once(looked, end + HOUR - DAY, end + HOUR)
    holds(looked, last - DAY, last)


def test_a_sum_never_subtracts_a_step_that_it_does_not_contain():
    looked, end = served_for(1)
    steps = [key for key in looked.ports.store.list("profiles/") if key.endswith(".step")]
    looked.ports.store.put(steps[0], looked.ports.store.get(steps[1]), overwrite=True)
    holds(looked, end + HOUR - DAY, end + HOUR)


def test_a_changed_schema_is_checked_on_rows_that_were_counted_before():
    looked, end = served_for(1)
    config = looked.config.model_dump(mode="json", by_alias=True)
    config["schema"]["features"]["c"]["categories"] = ["a"]
    narrow = replace(looked, config=ModelConfig.model_validate(config))
    kinds = {kind for _, kind in holds(looked, end - DAY, end).findings}
    assert "new_category" not in kinds
    assert ("c", "new_category") in holds(narrow, end - DAY, end).findings


def test_a_damaged_object_is_counted_again_with_a_warning(caplog):
    looked, end = served_for(1)
    for key in looked.ports.store.list("profiles/"):
        looked.ports.store.put(key, looked.ports.store.get(key)[:-5], overwrite=True)
    with caplog.at_level(logging.WARNING, sums.__name__):
        holds(looked, end + HOUR - DAY, end + HOUR)
    assert "is truncated" in caplog.text
    assert "counting again" in caplog.text
