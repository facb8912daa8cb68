"""The prediction log keeps each answer once, files it by event time, and survives a torn file."""

from datetime import UTC, datetime, timedelta

import pytest

from homeostat.adapters.store_memory import MemoryStore
from homeostat.config import ModelConfig
from homeostat.config.label_text import label_text
from homeostat.storage import prediction_log as log
from homeostat.storage.label_join import read_labelled

T0 = datetime(2026, 1, 5, 7, 50, tzinfo=UTC)


@pytest.fixture
def config():
    return ModelConfig.model_validate(
        {
            "name": "m",
            "task": "classification",
            "pipeline": "pipeline.py:build",
            "source": {"kind": "predictions"},
            "schema": {
                "key": "unit",
                "label": {"name": "y", "delay": "1h"},
                "features": {"version": {"type": "number"}, "colour": {"type": "category"}},
            },
        }
    )


def predictions(n, *, start=T0, step=timedelta(minutes=5), variant="champion", tag="r"):
    return {
        "prediction_id": [f"{tag}{i}" for i in range(n)],
        "at": [start + i * step for i in range(n)],
        "variant": [variant] * n,
        "key": ["u1"] * n,
        "prediction": [i % 2 for i in range(n)],
        "x.version": [float(i) for i in range(n)],
        "x.colour": ["red"] * n,
    }


def test_rows_are_filed_by_the_hour_of_their_time(config):
    store = MemoryStore()
    keys = log.write_predictions(store, config, "g1", 1, predictions(4))
    assert keys == [
        "log/m/predictions/date=2026-01-05/hour=07/g1-00000001.parquet",
        "log/m/predictions/date=2026-01-05/hour=08/g1-00000001.parquet",
    ]


def test_a_window_holds_its_start_and_not_its_end(config):
    store = MemoryStore()
    log.write_predictions(store, config, "g1", 1, predictions(5))
    read = log.read_predictions(store, config, T0, T0 + timedelta(minutes=20))
    assert list(read.rows["_prediction_id"]) == ["r0", "r1", "r2", "r3"]
    assert list(read.rows["version"]) == [0.0, 1.0, 2.0, 3.0], "a feature may share a name with the log"


def test_rows_of_the_years_1_and_9999_are_found_without_a_look_at_every_hour_between(config, monkeypatch):
    store, listed = MemoryStore(), []
    far = [datetime(1, 1, 1, 5, tzinfo=UTC), T0, datetime(9999, 12, 31, 22, tzinfo=UTC)]
    for number, at in enumerate(far):
        log.write_predictions(store, config, "g", number, predictions(1, start=at, tag=str(number)))
    real = store.list
    monkeypatch.setattr(store, "list", lambda prefix: listed.append(prefix) or real(prefix))
    rows = log.read_predictions(store, config, far[0], datetime(9999, 12, 31, 23, tzinfo=UTC)).rows
    assert list(rows["_prediction_id"]) == ["00", "10", "20"]
    assert len(listed) == 1
    assert len(log.read_predictions(store, config, far[0], far[1]).rows) == 1


def test_a_prediction_written_twice_is_read_once_and_shadow_is_not_served(config):
    store = MemoryStore()
    log.write_predictions(store, config, "g1", 1, predictions(3))
    log.write_predictions(store, config, "g2", 1, predictions(3))
    log.write_predictions(store, config, "g2", 2, predictions(3, variant="shadow"))
    rows = log.read_predictions(store, config, T0, T0 + timedelta(hours=1)).rows
    assert sorted(rows["_prediction_id"]) == ["r0", "r1", "r2"]


def test_of_many_files_only_a_batch_is_in_memory(config, monkeypatch):
    alive, most = set(), []

    class Bytes(bytes):
        def __del__(self):
            alive.discard(id(self))

    class Counting(MemoryStore):
        def get(self, key):
            data = Bytes(super().get(key))
            alive.add(id(data))
            most.append(len(alive))
            return data

    store = Counting()
    for n in range(12):
        log.write_predictions(store, config, "g1", n, predictions(1, tag=f"r{n}-"))
    monkeypatch.setattr(log, "_BATCH", 3)
    assert len(log.read_predictions(store, config, T0, T0 + timedelta(hours=1)).rows) == 12
    assert len(most) == 12
    assert max(most) <= 2 * 3


def test_an_unreadable_file_is_skipped_and_counted(config):
    store = MemoryStore()
    (first, *_) = log.write_predictions(store, config, "g1", 1, predictions(1))
    log.write_predictions(store, config, "g2", 1, predictions(1, tag="s"))
    store.put(first, store.get(first)[:-20], overwrite=True)
    read = log.read_predictions(store, config, T0, T0 + timedelta(hours=1))
    assert read.unreadable == (first,)
    assert list(read.rows["_prediction_id"]) == ["s0"]


def test_labels_join_by_id_whatever_their_spelling_and_only_once_known(config):
    store = MemoryStore()
    log.write_predictions(store, config, "g1", 1, predictions(3))
    labels = {
        "prediction_id": ["r1", "r0", "r1"],
        "label": [1.0, "0", 0],
        "at": [T0 + timedelta(hours=1), T0 + timedelta(hours=3), T0 + timedelta(hours=1)],
        "received_at": [T0, T0, T0 + timedelta(seconds=1)],
    }
    log.write_labels(store, config, "g1", 1, labels)
    end = T0 + timedelta(hours=1)
    soon = read_labelled(store, config, T0, end, known_by=T0 + timedelta(hours=2))
    assert list(soon["y"]) == ["1"], "the first label of an id is kept"
    assert list(soon["_prediction"]) == ["1"]
    late = read_labelled(store, config, T0, end, known_by=T0 + timedelta(hours=4))
    assert sorted(late["_prediction_id"]) == ["r0", "r1"]


def test_no_files_give_an_empty_frame_with_all_columns(config):
    rows = log.read_predictions(MemoryStore(), config, T0, T0 + timedelta(hours=2)).rows
    assert len(rows) == 0
    assert {"_at", "_prediction", "version", "colour"} <= set(rows.columns)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (True, "1"),
        ("1", "1"),
        (None, None),
        (float("nan"), None),
        (0.5, "0.5"),
        ("a", "a"),
    ],
)
def test_class_labels_are_normalized(value, text):
    assert label_text(value) == text
