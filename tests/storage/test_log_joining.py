"""An hour of the past becomes one file; readers see every row once, also when a run stops anywhere."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.adapters.store_memory import MemoryStore
from homeostat.config.errors import NotFound
from homeostat.storage import log_joining, prediction_log
from homeostat.storage.log_joining import GRACE, join_log
from log_to_join import CONFIG, DAY, HOUR, LATER, NOW, T0, StopsAt, same, seen, stored, write

WINDOW = DAY


class Stopped(BaseException):
    """The process ends here."""


def stop():
    raise Stopped


@pytest.fixture
def store():
    found = MemoryStore()
    for hour in range(2):
        for number in range(4):
            write(found, gateway=f"g{number % 2}", sequence=number, start=T0 + hour * HOUR)
    return found


def test_an_hour_becomes_one_file_and_later_the_only_one(store):
    before, (ids, files) = seen(store), stored(store, "predictions")
    assert len(files) == 8
    assert join_log(store, "m", WINDOW, NOW).written == 4
    same(before, seen(store))
    assert len(stored(store, "predictions")[1]) == 10, "beside the others, for readers that have listed them"
    assert join_log(store, "m", WINDOW, LATER - HOUR).deleted == 0
    assert join_log(store, "m", WINDOW, LATER).deleted == 16
    same(before, seen(store))
    for kind in ("predictions", "labels"):
        rows, files = stored(store, kind)
        assert rows == ids
        assert [key.split("/")[4] for key in files] == ["hour=07", "hour=08"]
    assert store.list("log/m/joining") == []
    again = join_log(store, "m", WINDOW, LATER + DAY)
    assert (again.written, again.deleted) == (0, 0)


def test_rows_that_were_received_lately_stay_apart_whatever_their_hour(store):
    write(store, gateway="replay", start=T0, received=NOW - DAY)
    write(store, gateway="g9", start=NOW - 2 * DAY)
    write(store, gateway="g9", sequence=2, start=NOW - 2 * DAY)
    before = seen(store)
    for now in (NOW, LATER):
        join_log(store, "m", WINDOW, now)
    same(before, seen(store))
    files = stored(store, "predictions")[1]
    assert sum("replay" in key for key in files) == 1
    assert sum("g9" in key for key in files) == 2


def test_the_windows_of_a_model_are_left_alone(store):
    assert join_log(store, "m", 7 * DAY, T0 + 35 * DAY).written == 0
    assert join_log(store, "m", 7 * DAY, T0 + 37 * DAY).written == 4


def test_files_of_another_form_and_torn_ones_are_not_joined_with_them(store):
    config = CONFIG.model_validate(
        {
            **CONFIG.model_dump(by_alias=True),
            "schema": {"label": {"name": "y"}, "features": {"z": {"type": "number"}}},
        }
    )
    known = {"prediction_id": ["other"], "at": [T0], "received_at": [T0], "variant": ["champion"]}
    prediction_log.write_predictions(store, config, "g7", 1, known | {"prediction": ["1"], "x.z": [1.0]})
    torn = "log/m/predictions/date=2026-01-05/hour=07/g8-00000001.parquet"
    store.put(torn, b"PAR1 torn")
    before = seen(store)
    for now in (NOW, LATER):
        join_log(store, "m", WINDOW, now)
    same(before, seen(store))
    names = [key.rpartition("/")[2] for key in store.list("log/m/predictions/date=2026-01-05/hour=07")]
    assert [name for name in names if not name.startswith("joined-")] == ["g7-00000001.parquet", torn[-19:]]


def test_a_file_has_a_limit_of_rows(store, monkeypatch):
    monkeypatch.setattr(log_joining, "MAX_ROWS", 6)
    for now in (NOW, LATER):
        join_log(store, "m", WINDOW, now)
    assert len(stored(store, "predictions")[1]) == 4, "two for each hour, of six rows"


def test_a_long_backlog_is_joined_a_month_at_a_time(store):
    for number in range(2):
        write(store, gateway="late", sequence=number, start=T0 + 40 * DAY)
    now = T0 + 100 * DAY
    assert join_log(store, "m", WINDOW, now).days == [
        "predictions up to 2026-02-05",
        "labels up to 2026-02-05",
    ]
    assert join_log(store, "m", WINDOW, now).written == 2


def test_of_two_runs_at_once_one_plan_is_kept(store):
    before, (ids, _) = seen(store), stored(store, "predictions")
    other = MemoryStore()
    for key in store.list(""):
        other.put(key, store.get(key))
    join_log(store, "m", WINDOW, NOW)
    write(other, gateway="late", start=T0)  # what the other run sees besides
    join_log(other, "m", WINDOW, NOW)
    for key in other.list(""):
        store.put(key, other.get(key), overwrite=True)
    write(store, gateway="late", start=T0)
    after = seen(store)
    assert len(after[0]) == len(before[0]) + 3
    for now in (LATER, LATER + DAY):
        join_log(store, "m", WINDOW, now)
    same(after, seen(store))
    rows = stored(store, "predictions")[0]
    assert len(rows) == len(set(rows)) == len(ids) + 3


def test_a_file_that_a_gateway_wrote_again_with_other_rows_is_not_deleted(store):
    join_log(store, "m", WINDOW, NOW)
    key = "log/m/predictions/date=2026-01-05/hour=07/g0-00000000.parquet"
    other = MemoryStore()
    write(other, gateway="reborn", start=T0)
    store.put(key, other.get(other.list("log/m/predictions")[0]), overwrite=True)
    join_log(store, "m", WINDOW, LATER)
    assert key in stored(store, "predictions")[1]
    assert sum("reborn" in name for name in stored(store, "predictions")[0]) == 3


def test_a_reader_that_meets_a_deleted_file_lists_again(store, monkeypatch):
    before = seen(store)
    join_log(store, "m", WINDOW, NOW)
    get, listed = store.get, store.list("log/m/predictions")
    monkeypatch.setattr(
        store, "get", lambda key: (monkeypatch.undo(), join_log(store, "m", WINDOW, LATER), get(key))[2]
    )
    assert store.list("log/m/predictions") == listed
    same(before[:1], seen(store)[:1])
    with pytest.raises(NotFound):
        store.get(listed[0])
    with pytest.raises(prediction_log.FilesJoined, match="try again"):
        prediction_log.read_predictions(store, CONFIG, T0, NOW, files=listed)


FILES = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=8)


@settings(deadline=None, max_examples=60)
@given(FILES, st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=3))
def test_wherever_runs_stop_no_row_is_lost_and_none_is_doubled(files, stops):
    store = MemoryStore()
    for number, (hour, n) in enumerate(files):
        write(store, gateway=f"g{number}", start=T0 + hour * HOUR, n=n)
    before, (ids, _) = seen(store), stored(store, "predictions")
    now = NOW
    for point, passes in stops:
        with contextlib.suppress(Stopped):
            join_log(StopsAt(store, point, stop), "m", WINDOW, now)
        same(before, seen(store))
        now += GRACE if passes else HOUR
    for _ in range(3):
        join_log(store, "m", WINDOW, now)
        now += GRACE
    same(before, seen(store))
    for kind in ("predictions", "labels"):
        rows, keys = stored(store, kind)
        assert rows == ids
        assert len(keys) == len({hour for hour, _ in files})
    assert store.list("log/m/joining") == []
