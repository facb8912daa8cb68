"""New labels are looked up in the prediction log, as far back as they may be late."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.adapters.store_memory import MemoryStore
from homeostat.config import ModelConfig
from homeostat.storage import label_join
from homeostat.storage import prediction_log as log
from homeostat.storage.label_join import count_label_ids, read_labelled

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def model(delay="2h", **label) -> ModelConfig:
    return ModelConfig.model_validate(
        {
            "name": "m",
            "task": "classification",
            "pipeline": "pipeline.py:build",
            "source": {"kind": "predictions"},
            "schema": {"label": {"name": "y", "delay": delay} | label, "features": {"a": {"type": "number"}}},
        }
    )


class CountingStore(MemoryStore):
    """Counts the prediction files that are read."""

    reads = 0

    def get(self, key):
        self.reads += "/predictions/" in key
        return super().get(key)


def predict(store, config, ages, *, variant="champion", until=NOON):
    """Log a prediction per age (hours before ``until``), with its age as id."""
    for age in ages:
        columns = {"prediction_id": [f"r{age}"], "at": [until - age * HOUR], "variant": [variant]}
        log.write_predictions(store, config, f"g{age}-{variant}", 1, columns)


def label(store, config, ids, *, at=NOON - 0.5 * HOUR, values=None):
    columns = {"prediction_id": list(ids), "at": [at] * len(ids), "received_at": [at] * len(ids)}
    log.write_labels(store, config, "g", int(at.timestamp()), columns | {"label": values or ["1"] * len(ids)})


def count(store, config):
    found = count_label_ids(store, config, NOON - HOUR, NOON)
    return found.labels, found.unlogged


def test_labels_of_logged_predictions_are_all_found_reading_only_the_hours_where_they_are():
    store, config = CountingStore(), model()
    predict(store, config, range(1, 20))
    label(store, config, ["r2", "r3"])
    assert count(store, config) == (2, 0)
    assert store.reads <= 3
    assert count_label_ids(store, config, NOON - HOUR, NOON).sentence == ""


def test_ids_that_were_never_logged_are_counted_and_said_with_the_time_from_which_the_log_was_read():
    store, config = MemoryStore(), model()
    predict(store, config, [1, 2, 3])
    label(store, config, ["r2", "order-17", "order-18"])
    found = count_label_ids(store, config, NOON - HOUR, NOON)
    assert found.to_json() == {"new": 3, "unlogged": 2, "since": "2026-01-04T09:00:00+00:00"}
    assert found.sentence == (
        "2 of 3 new labels belong to no prediction logged since 2026-01-04 09:00 UTC: check the ids that are "
        "sent, or schema.label.delay"
    )


@pytest.mark.parametrize(("age", "unlogged"), [(0.1, 0), (2, 0), (26, 0), (26.9, 0), (40, 1)])
def test_a_label_may_be_early_or_a_day_later_than_its_delay(age, unlogged):
    store, config = MemoryStore(), model()
    predict(store, config, [age])
    label(store, config, [f"r{age}"])
    assert count(store, config) == (1, unlogged)


@pytest.mark.parametrize("variant", ["candidate", "shadow", "pinned"])
def test_rows_of_every_variant_were_logged(variant):
    store, config = MemoryStore(), model()
    predict(store, config, [2], variant=variant)
    label(store, config, ["r2"])
    assert count(store, config) == (1, 0)


def test_labels_of_other_steps_are_not_counted():
    store, config = MemoryStore(), model()
    label(store, config, ["x"], at=NOON)
    label(store, config, ["y"], at=NOON - HOUR - timedelta(seconds=1))
    assert count(store, config) == (0, 0)


def test_a_log_that_cannot_be_read_in_full_gives_no_count(monkeypatch):
    store, config = MemoryStore(), model()
    predict(store, config, [2, 3])
    label(store, config, ["r3", "x"])
    (torn,) = store.list("log/m/predictions/date=2026-01-05/hour=10/")
    whole = store.get(torn)
    store.put(torn, whole[:-9], overwrite=True)
    assert count(store, config) == (2, None)
    assert count_label_ids(store, config, NOON - HOUR, NOON).sentence == ""
    store.put(torn, whole, overwrite=True)
    assert count(store, config) == (2, 1)
    monkeypatch.setattr(label_join, "_MAX_FILES", 1)
    assert count(store, config) == (2, None)


@settings(deadline=None)
@given(
    logged=st.sets(st.integers(0, 30)),
    labelled=st.sets(st.integers(0, 30), min_size=1),
    delay=st.sampled_from(["0s", "2h", "12h"]),
)
def test_the_count_is_the_number_of_labels_without_a_prediction_in_reach(logged, labelled, delay):
    store, config = MemoryStore(), model(delay)
    predict(store, config, logged)
    label(store, config, [f"r{age}" for age in labelled])
    reach = 25 + config.columns.label.delay / HOUR  # the hour of the labels, a day, and the delay
    assert count(store, config) == (len(labelled), len(labelled - {age for age in logged if age <= reach}))


def test_labels_that_were_stored_before_the_mapping_are_read_as_classes():
    store, before = MemoryStore(), model()
    predict(store, before, [2])
    label(store, before, ["r2"], values=["yes"])
    now = model(mapping={"yes": 1, "no": 0})
    (joined,) = read_labelled(store, now, NOON - 3 * HOUR, NOON)["y"]
    assert joined == "1"
