"""The spool and its journal: every row is written once, kept, or counted as lost."""

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.adapters.store_memory import MemoryStore
from homeostat.config.errors import Unavailable
from homeostat.serving.recorder import journal, spool
from homeostat.serving.recorder import prediction_log as predictionlog
from homeostat.serving.recorder.counters import Odometer
from homeostat.serving.recorder.journal import read_segment
from homeostat.serving.recorder.prediction_log import Served, pack, unpack
from homeostat.serving.recorder.recovery import Home, clear_up, known_losses
from homeostat.serving.recorder.spool import Spool
from homeostat.serving.recorder.upload import Kind
from homeostat.serving.scoring_request import Rows
from homeostat.storage.prediction_log import read_predictions
from serving.gateway_harness import model_config

NOW = datetime(2026, 1, 5, 7, 59, 59, 900_000, tzinfo=UTC)


def make(root, write, *, keep_rows=10**6, name="log"):
    """A spool of plain numbers, its home, and what clears up after it."""
    kind = Kind(name, "log", lambda _, entries: {"rows": [row for entry in entries for row in entry]}, write)
    counts = Odometer(kind.slots(["m", "n"]))
    home = Home(root / "journal", "gw", counts)
    return Spool(kind, home, counts, ["m", "n"], keep_rows), home, kind


def collected(out):
    def write(gateway, model, sequence, parts):
        out[gateway, model, sequence] = [row for part in parts for row in part["rows"]]

    return write


def killed(home):
    """As after kill -9: the lock is free, the files are as they are."""
    return home.leave()


@contextmanager
def full_disk():
    """Writes fail half way, as on a disk without room."""

    def write_all(handle, data):
        os.write(handle, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "write_all", write_all)
        patch.setattr(spool, "RETRY_SECONDS", 0.0)
        yield


class Days:
    """A spool through a store that goes away, a disk that fills up, and kill -9."""

    def __init__(self, root, room):
        self.root, self.room = root, room
        self.out, self.away, self.full, self.rows = {}, False, False, 0
        self._keep = collected(self.out)
        self.kill()

    def write(self, *chunk):
        if self.away:
            raise Unavailable("away")
        self._keep(*chunk)

    def write_all(self, handle, data):
        os.write(handle, data[: len(data) // 2] if self.full else data)
        if self.full:
            raise OSError(28, "No space left on device")

    def add(self, count):
        self.home()
        self.spool.add("m", list(range(self.rows, self.rows + count)), count)
        self.rows += count

    def kill(self):
        if self.rows:
            killed(self.home)
        self.spool, self.home, self.kind = make(self.root, self.write, keep_rows=self.room)

    def step(self, name):
        if name in ("flush", "commit"):
            getattr(self.spool, name)()
        elif name == "kill":
            self.kill()
        elif name in ("away", "back"):
            self.away = name == "away"
        else:
            self.full = name == "full"

    def end(self):
        self.away = self.full = False
        self.kill()
        return clear_up(self.root / "journal", [self.kind], MemoryStore())


@given(
    st.lists(
        st.one_of(
            st.integers(1, 5), st.sampled_from(["commit", "flush", "away", "back", "full", "free", "kill"])
        )
    ),
    st.integers(5, 20),
)
@settings(max_examples=60, deadline=None)
def test_every_row_is_written_once_or_counted_as_lost_whatever_happens(tmp_path_factory, steps, room):
    days = Days(tmp_path_factory.mktemp("state"), room)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "write_all", days.write_all)
        patch.setattr(spool, "RETRY_SECONDS", 0.0)
        for step in steps:
            if isinstance(step, int):
                days.add(step)
            else:
                days.step(step)
            assert days.spool.kept <= room
        losses, error = days.end()
    written = [row for rows in days.out.values() for row in rows]
    assert error == ""
    assert len(set(written)) == len(written)
    assert len(written) + sum(loss.lost for loss in losses) == days.rows
    assert known_losses(days.root / "journal") == losses


def test_a_chunk_that_can_never_be_written_is_lost_set_aside_and_holds_up_no_other(tmp_path):
    out = {}
    keep = collected(out)

    def write(gateway, model, sequence, parts):
        if parts[0]["rows"][0] < 0:
            raise ValueError("no such column")
        keep(gateway, model, sequence, parts)

    here, home, kind = make(tmp_path, write)
    here.add("m", [-1, -2, -3], 3)
    here.add("n", [5], 1)
    here.flush()
    here.add("m", [1, 2], 2)
    flushed = here.flush()
    assert (flushed.written, flushed.kept, flushed.lost) == (2, 0, 3)
    assert out == {("gw", "n", 1): [5], ("gw", "m", 2): [1, 2]}
    assert [p.name for p in (tmp_path / "journal" / "unwritable").iterdir()] == ["gw-log-00000001-m.seg"]
    killed(home)
    losses, _ = clear_up(tmp_path / "journal", [kind], MemoryStore())
    assert [(loss.model, loss.served, loss.logged, loss.lost) for loss in losses] == [("m", 5, 2, 3)]


def test_rows_added_from_many_threads_are_all_there(tmp_path):
    out = {}
    here, _, _ = make(tmp_path, collected(out))
    threads = [threading.Thread(target=lambda: [here.add("m", [i], 1) for i in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        here.flush()
    here.flush()
    assert sum(len(rows) for rows in out.values()) == 2000
    assert here.written == 2000


def test_a_torn_last_record_is_skipped_and_counted(tmp_path):
    out = {}
    here, home, kind = make(tmp_path, collected(out))
    for i in range(3):
        here.add("m", [i], 1)
        here.commit()
    (path,) = (home() / "log").iterdir()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 3)
    assert read_segment(path).torn == 1
    killed(home)
    losses, error = clear_up(tmp_path / "journal", [kind], MemoryStore())
    assert error == ""
    assert out == {("gw", "m", 1): [0, 1]}
    assert [(loss.served, loss.logged, loss.lost, loss.torn) for loss in losses] == [(3, 2, 1, 1)]


def test_a_damaged_record_in_an_older_segment_is_counted_as_well(tmp_path):
    out = {}
    store = [False]
    keep = collected(out)

    def write(*chunk):
        if not store[0]:
            raise Unavailable("away")
        keep(*chunk)

    here, home, kind = make(tmp_path, write)
    for i in range(3):
        here.add("m", [i, i], 2)
        here.flush()
    first = min((home() / "log").iterdir())
    data = bytearray(first.read_bytes())
    data[-2] ^= 1
    first.write_bytes(data)
    killed(home)
    store[0] = True
    losses, _ = clear_up(tmp_path / "journal", [kind], MemoryStore())
    assert out == {("gw", "m", 2): [1, 1], ("gw", "m", 3): [2, 2]}
    assert [(loss.served, loss.logged, loss.lost) for loss in losses] == [(6, 4, 2)]


def test_a_full_disk_holds_async_rows_and_a_disk_that_is_free_again_gets_each_once(tmp_path):
    out = {}
    here, _, _ = make(tmp_path, collected(out))
    here.add("m", [1], 1)
    here.commit()
    with full_disk():
        here.add("m", [2], 1)
        here.commit()
        here.add("m", [3], 1)
        here.commit()
        assert here.losing
        assert "No space left" in here.journal_error
        assert here.kept == 3
        assert here.lost == 0
    here.flush()
    assert not here.losing
    assert out == {("gw", "m", 1): [1, 2, 3]}


def test_what_is_held_while_the_disk_is_full_is_bounded_and_the_rest_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "HELD_ROWS", 5)
    here, home, kind = make(tmp_path, collected({}))
    with full_disk():
        for i in range(20):
            here.add("m", [i], 1)
            here.commit()
        assert here.kept == 6, "the one that met the full disk, and five"
        assert here.lost == 14
        here.end()
        assert here.lost == 20
    killed(home)
    losses, _ = clear_up(tmp_path / "journal", [kind], MemoryStore())
    assert [(loss.served, loss.lost) for loss in losses] == [(20, 20)]


def test_who_waits_for_the_disk_hears_when_it_has_the_row_and_together_with_others(tmp_path, monkeypatch):
    calls = []
    real = os.fdatasync

    entered, go_on = threading.Event(), threading.Event()

    def slow(handle):
        calls.append(handle)
        entered.set()
        go_on.wait(60)
        real(handle)

    monkeypatch.setattr(journal.os, "fdatasync", slow)
    asked = threading.Event()
    kind = Kind("log", "log", lambda _, entries: {"rows": entries}, lambda *_: None)
    counts = Odometer(kind.slots(["m"]))
    home = Home(tmp_path, "gw", counts)
    here = Spool(kind, home, counts, ["m"], 100, asked=asked)

    async def story():
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            first = here.keep("m", 0, 1)
            assert asked.is_set()
            syncing = loop.run_in_executor(pool, here.sync)
            await asyncio.to_thread(entered.wait, 60)
            others = [here.keep("m", i, 1) for i in range(1, 30)]
            go_on.set()
            assert await first
            assert not any(other.done() for other in others), "their turn comes after the first"
            await syncing
            await loop.run_in_executor(pool, here.sync)
            assert await asyncio.gather(*others) == [True] * 29

    asyncio.run(story())
    assert len(calls) == 2
    (path,) = (home() / "log").iterdir()
    assert [row for record in read_segment(path).records for row in record.columns["rows"]] == list(range(30))


def test_on_a_full_disk_who_waits_is_refused_and_not_counted_as_served(tmp_path):
    out = {}
    here, home, kind = make(tmp_path, collected(out))

    async def story():
        refused = here.keep("m", [1], 1)
        here.add("m", [2], 1)
        await asyncio.to_thread(here.sync)
        assert await refused is False

    with full_disk():
        home()
        asyncio.run(story())
    here.flush()
    killed(home)
    assert clear_up(tmp_path / "journal", [kind], MemoryStore()) == ([], "")
    assert list(out.values()) == [[2]]


def test_the_living_are_left_alone_and_the_dead_are_cleared_once(tmp_path):
    out = {}
    here, home, kind = make(tmp_path, collected(out))
    other, second, _ = make(tmp_path, collected(out))
    for each in (here, other):
        each.add("m", [1], 1)
        each.commit()
    assert (home.name, second.name) == ("gw", "gw-2"), "a name that is taken gets a number"
    assert clear_up(tmp_path / "journal", [kind], MemoryStore()) == ([], "")
    assert out == {}
    killed(home)
    written = []
    kinds = [replace(kind, write=lambda *chunk: (time.sleep(0.05), written.append(chunk)))]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: clear_up(tmp_path / "journal", kinds, MemoryStore()), range(4)))
    assert [(gateway, model, sequence) for gateway, model, sequence, _ in written] == [("gw", "m", 1)]
    assert not (tmp_path / "journal" / "gw").exists()
    assert (tmp_path / "journal" / "gw-2").exists()


def test_what_the_store_does_not_take_at_recovery_stays_for_the_next(tmp_path):
    here, home, kind = make(tmp_path, collected({}))
    here.add("m", [1], 1)
    here.commit()
    killed(home)

    def away(*_):
        raise Unavailable("away")

    losses, error = clear_up(tmp_path / "journal", [replace(kind, write=away)], MemoryStore())
    assert losses == []
    assert "stays" in error
    out = {}
    assert clear_up(tmp_path / "journal", [replace(kind, write=collected(out))], MemoryStore()) == ([], "")
    assert out == {("gw", "m", 1): [1]}


def served(request_id, values, **more):
    config = model_config()
    columns = (list(values), [0.5] * len(values), ["red"] * len(values), [float("nan")] * len(values))
    rows = Rows(len(values), columns, **more.pop("rows", {}))
    ids = predictionlog.prediction_ids(request_id, len(values))
    return config, Served(
        request_id, ids, NOW, "3", "champion", more.pop("rollout", ""), rows, list(values), None, 1.25
    )


def test_a_record_comes_back_as_it_went_in(tmp_path):
    later = NOW + timedelta(seconds=1)
    config, one = served("a", [float("inf")], rows={"extra": ("z", "y")})
    _, two = served("b", [1.0, -0.0], rollout="r", rows={"keys": ["k", None], "times": [None, later]})
    payload = journal.packed("pump", 3, pack(config, [one, two]))
    columns = unpack([journal.orjson.loads(payload)["columns"]])
    assert columns["prediction_id"] == ["a", "b-0", "b-1"]
    assert columns["request_id"] == ["a", "b", "b"]
    assert columns["received_at"] == [NOW] * 3
    assert columns["at"] == [NOW, NOW, later]
    assert columns["key"] == [None, "k", None]
    assert columns["rollout"] == [None, "r", "r"]
    assert columns["extra"] == ["z,y", None, None]
    assert columns["x.a"] == [float("inf"), 1.0, -0.0]
    assert columns["x.old"] == [None] * 3
    assert columns["latency_ms"] == [1.25] * 3


def test_recovery_writes_the_very_same_bytes_under_the_very_same_keys(tmp_path):
    first, second = MemoryStore(), MemoryStore()
    config, entry = served("a", [1.0, 2.0], rows={"times": [NOW, NOW + timedelta(hours=1)]})
    for store, recovers in ((first, False), (second, True)):
        kind = predictionlog.kind(store, {"pump": config})
        counts = Odometer(kind.slots(["pump"]))
        home = Home(tmp_path / str(recovers), "gw", counts)
        here = Spool(kind, home, counts, ["pump"], 100)
        here.add("pump", entry, 2)
        if recovers:
            here.commit()
            killed(home)
            clear_up(tmp_path / str(recovers), [kind], store)
        else:
            here.flush()
    keys = first.list("log/")
    assert len(keys) == 2, "two hours, two files"
    assert keys == second.list("log/")
    assert [first.get(key) for key in keys] == [second.get(key) for key in keys]
    rows = read_predictions(first, config, NOW - timedelta(hours=1), NOW + timedelta(hours=2)).rows
    assert rows["_prediction_id"].tolist() == ["a-0", "a-1"]


def test_counts_stay_in_memory_until_there_is_a_folder(tmp_path):
    blocked = tmp_path / "journal"
    blocked.write_text("a file where the folder should be")
    out = {}
    here, home, kind = make(tmp_path, collected(out))
    here.add("m", [1], 1)
    here.commit()
    assert here.losing
    blocked.unlink()
    here._retry_at = 0.0
    here.add("m", [2], 1)
    here.commit()
    assert not here.losing
    killed(home)
    assert clear_up(tmp_path / "journal", [kind], MemoryStore()) == ([], "")
    assert out == {("gw", "m", 1): [1, 2]}
