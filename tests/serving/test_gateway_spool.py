"""The spool and its journal: each row is written once, kept, or counted as lost."""

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
from homeostat.serving.recorder.counters import Counters
from homeostat.serving.recorder.journal import read_segment
from homeostat.serving.recorder.prediction_log import (
    ServedRequest,
    pack,
    prediction_ids,
    prediction_log_spec,
    unpack,
)
from homeostat.serving.recorder.recovery import JournalFolder, known_losses, recover_orphans
from homeostat.serving.recorder.spool import Spool
from homeostat.serving.recorder.upload import LogSpec
from homeostat.serving.scoring_request import Rows
from homeostat.storage.prediction_log import read_predictions
from serving.gateway_harness import model_config

NOW = datetime(2026, 1, 5, 7, 59, 59, 900_000, tzinfo=UTC)


def make(root, write, *, keep_rows=10**6, name="log"):
    """Return a spool of plain numbers, its journal folder, and its log spec."""
    spec = LogSpec(
        name, "log", lambda _, entries: {"rows": [row for entry in entries for row in entry]}, write
    )
    counters = Counters(spec.counter_names(["m", "n"]))
    folder = JournalFolder(root / "journal", "gw", counters)
    return Spool(spec, folder.acquire, counters, ["m", "n"], keep_rows), folder, spec


def collected(out):
    def write(gateway, model, sequence, parts):
        out[gateway, model, sequence] = [row for part in parts for row in part["rows"]]

    return write


def kill(folder):
    """Leave the files as kill -9 does: the lock is free, nothing is tidied up."""
    return folder.release()


@contextmanager
def full_disk():
    """Let writes fail half way, as on a full disk."""

    def write_all(handle, data):
        os.write(handle, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "write_all", write_all)
        patch.setattr(spool, "RETRY_SECONDS", 0.0)
        yield


class FaultyEnvironment:
    """A spool with a store that goes away, a disk that fills up, and kill -9."""

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
        self.folder.acquire()
        self.spool.add("m", list(range(self.rows, self.rows + count)), count)
        self.rows += count

    def kill(self):
        if self.rows:
            kill(self.folder)
        self.spool, self.folder, self.spec = make(self.root, self.write, keep_rows=self.room)

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
        return recover_orphans(self.root / "journal", [self.spec], MemoryStore())


@given(
    st.lists(
        st.one_of(
            st.integers(1, 5), st.sampled_from(["commit", "flush", "away", "back", "full", "free", "kill"])
        )
    ),
    st.integers(5, 20),
)
@settings(max_examples=60, deadline=None)
def test_every_row_is_written_once_or_counted_as_lost_under_any_sequence_of_faults(
    tmp_path_factory, steps, room
):
    env = FaultyEnvironment(tmp_path_factory.mktemp("state"), room)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "write_all", env.write_all)
        patch.setattr(spool, "RETRY_SECONDS", 0.0)
        for step in steps:
            if isinstance(step, int):
                env.add(step)
            else:
                env.step(step)
            assert env.spool.pending_rows <= room
        losses, error = env.end()
    written = [row for rows in env.out.values() for row in rows]
    assert error == ""
    assert len(set(written)) == len(written)
    assert len(written) + sum(loss.lost for loss in losses) == env.rows
    assert known_losses(env.root / "journal") == losses


def test_a_chunk_that_can_never_be_written_is_quarantined_counted_as_lost_and_blocks_no_other(tmp_path):
    out = {}
    keep = collected(out)

    def write(gateway, model, sequence, parts):
        if parts[0]["rows"][0] < 0:
            raise ValueError("no such column")
        keep(gateway, model, sequence, parts)

    here, folder, spec = make(tmp_path, write)
    here.add("m", [-1, -2, -3], 3)
    here.add("n", [5], 1)
    here.flush()
    here.add("m", [1, 2], 2)
    flushed = here.flush()
    assert (flushed.written, flushed.pending, flushed.lost) == (2, 0, 3)
    assert out == {("gw", "n", 1): [5], ("gw", "m", 2): [1, 2]}
    assert [p.name for p in (tmp_path / "journal" / "unwritable").iterdir()] == ["gw-log-00000001-m.seg"]
    kill(folder)
    losses, _ = recover_orphans(tmp_path / "journal", [spec], MemoryStore())
    assert [(loss.model, loss.served, loss.logged, loss.lost) for loss in losses] == [("m", 5, 2, 3)]


def test_rows_added_from_many_threads_are_all_written(tmp_path):
    out = {}
    here, _, _ = make(tmp_path, collected(out))
    threads = [threading.Thread(target=lambda: [here.add("m", [i], 1) for i in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        here.flush()
    here.flush()
    assert sum(len(rows) for rows in out.values()) == 2000
    assert here.written_rows == 2000


def test_a_torn_last_record_is_skipped_and_counted(tmp_path):
    out = {}
    here, folder, spec = make(tmp_path, collected(out))
    for i in range(3):
        here.add("m", [i], 1)
        here.commit()
    (path,) = (folder.acquire() / "log").iterdir()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 3)
    assert read_segment(path).torn == 1
    kill(folder)
    losses, error = recover_orphans(tmp_path / "journal", [spec], MemoryStore())
    assert error == ""
    assert out == {("gw", "m", 1): [0, 1]}
    assert [(loss.served, loss.logged, loss.lost, loss.torn) for loss in losses] == [(3, 2, 1, 1)]


def test_rows_of_a_damaged_record_in_an_older_segment_count_as_lost(tmp_path):
    out = {}
    store = [False]
    keep = collected(out)

    def write(*chunk):
        if not store[0]:
            raise Unavailable("away")
        keep(*chunk)

    here, folder, spec = make(tmp_path, write)
    for i in range(3):
        here.add("m", [i, i], 2)
        here.flush()
    first = min((folder.acquire() / "log").iterdir())
    data = bytearray(first.read_bytes())
    data[-2] ^= 1
    first.write_bytes(data)
    kill(folder)
    store[0] = True
    losses, _ = recover_orphans(tmp_path / "journal", [spec], MemoryStore())
    assert out == {("gw", "m", 2): [1, 1], ("gw", "m", 3): [2, 2]}
    assert [(loss.served, loss.logged, loss.lost) for loss in losses] == [(6, 4, 2)]


def test_rows_held_while_the_disk_is_full_are_written_once_when_it_is_free_again(tmp_path):
    out = {}
    here, _, _ = make(tmp_path, collected(out))
    here.add("m", [1], 1)
    here.commit()
    with full_disk():
        here.add("m", [2], 1)
        here.commit()
        here.add("m", [3], 1)
        here.commit()
        assert here.dropping_rows
        assert "No space left" in here.journal_error
        assert here.pending_rows == 3
        assert here.lost_rows == 0
    here.flush()
    assert not here.dropping_rows
    assert out == {("gw", "m", 1): [1, 2, 3]}


def test_rows_held_while_the_disk_is_full_are_bounded_and_the_rest_count_as_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "HELD_ROWS", 5)
    here, folder, spec = make(tmp_path, collected({}))
    with full_disk():
        for i in range(20):
            here.add("m", [i], 1)
            here.commit()
        assert here.pending_rows == 6, "the row that hit the full disk, and five held ones"
        assert here.lost_rows == 14
        here.close()
        assert here.lost_rows == 20
    kill(folder)
    losses, _ = recover_orphans(tmp_path / "journal", [spec], MemoryStore())
    assert [(loss.served, loss.lost) for loss in losses] == [(20, 20)]


def test_durable_rows_are_confirmed_after_fdatasync_and_one_sync_serves_many_requests(tmp_path, monkeypatch):
    calls = []
    real = os.fdatasync

    entered, release = threading.Event(), threading.Event()

    def slow(handle):
        calls.append(handle)
        entered.set()
        release.wait(60)
        real(handle)

    monkeypatch.setattr(journal.os, "fdatasync", slow)
    sync_requested = threading.Event()
    spec = LogSpec("log", "log", lambda _, entries: {"rows": entries}, lambda *_: None)
    counters = Counters(spec.counter_names(["m"]))
    folder = JournalFolder(tmp_path, "gw", counters)
    here = Spool(spec, folder.acquire, counters, ["m"], 100, sync_requested=sync_requested)

    async def scenario():
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            first = here.add_durable("m", 0, 1)
            assert sync_requested.is_set()
            syncing = loop.run_in_executor(pool, here.sync)
            await asyncio.to_thread(entered.wait, 60)
            others = [here.add_durable("m", i, 1) for i in range(1, 30)]
            release.set()
            assert await first
            assert not any(other.done() for other in others), "they wait for the next sync"
            await syncing
            await loop.run_in_executor(pool, here.sync)
            assert await asyncio.gather(*others) == [True] * 29

    asyncio.run(scenario())
    assert len(calls) == 2
    (path,) = (folder.acquire() / "log").iterdir()
    assert [row for record in read_segment(path).records for row in record.columns["rows"]] == list(range(30))


def test_durable_rows_are_refused_on_a_full_disk_and_not_counted_as_served(tmp_path):
    out = {}
    here, folder, spec = make(tmp_path, collected(out))

    async def scenario():
        refused = here.add_durable("m", [1], 1)
        here.add("m", [2], 1)
        await asyncio.to_thread(here.sync)
        assert await refused is False

    with full_disk():
        folder.acquire()
        asyncio.run(scenario())
    here.flush()
    kill(folder)
    assert recover_orphans(tmp_path / "journal", [spec], MemoryStore()) == ([], "")
    assert list(out.values()) == [[2]]


def test_journals_of_running_processes_are_left_alone_and_orphans_are_recovered_once(tmp_path):
    out = {}
    here, folder, spec = make(tmp_path, collected(out))
    other, second, _ = make(tmp_path, collected(out))
    for each in (here, other):
        each.add("m", [1], 1)
        each.commit()
    assert (folder.name, second.name) == ("gw", "gw-2"), "a number is appended to a name in use"
    assert recover_orphans(tmp_path / "journal", [spec], MemoryStore()) == ([], "")
    assert out == {}
    kill(folder)
    written = []
    specs = [replace(spec, write=lambda *chunk: (time.sleep(0.05), written.append(chunk)))]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: recover_orphans(tmp_path / "journal", specs, MemoryStore()), range(4)))
    assert [(gateway, model, sequence) for gateway, model, sequence, _ in written] == [("gw", "m", 1)]
    assert not (tmp_path / "journal" / "gw").exists()
    assert (tmp_path / "journal" / "gw-2").exists()


def test_a_recovery_without_the_store_leaves_the_journal_for_the_next_one(tmp_path):
    here, folder, spec = make(tmp_path, collected({}))
    here.add("m", [1], 1)
    here.commit()
    kill(folder)

    def away(*_):
        raise Unavailable("away")

    losses, error = recover_orphans(tmp_path / "journal", [replace(spec, write=away)], MemoryStore())
    assert losses == []
    assert "stays" in error
    out = {}
    assert recover_orphans(tmp_path / "journal", [replace(spec, write=collected(out))], MemoryStore()) == (
        [],
        "",
    )
    assert out == {("gw", "m", 1): [1]}


def served(request_id, values, **more):
    config = model_config()
    columns = (list(values), [0.5] * len(values), ["red"] * len(values), [float("nan")] * len(values))
    rows = Rows(len(values), columns, **more.pop("rows", {}))
    ids = prediction_ids(request_id, len(values))
    return config, ServedRequest(
        request_id, ids, NOW, "3", "champion", more.pop("rollout", ""), rows, list(values), None, 1.25
    )


def test_packed_requests_unpack_to_the_same_values(tmp_path):
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


def test_recovery_writes_the_same_bytes_under_the_same_keys_as_a_flush(tmp_path):
    first, second = MemoryStore(), MemoryStore()
    config, entry = served("a", [1.0, 2.0], rows={"times": [NOW, NOW + timedelta(hours=1)]})
    for store, recovers in ((first, False), (second, True)):
        spec = prediction_log_spec(store, {"pump": config})
        counters = Counters(spec.counter_names(["pump"]))
        folder = JournalFolder(tmp_path / str(recovers), "gw", counters)
        here = Spool(spec, folder.acquire, counters, ["pump"], 100)
        here.add("pump", entry, 2)
        if recovers:
            here.commit()
            kill(folder)
            recover_orphans(tmp_path / str(recovers), [spec], store)
        else:
            here.flush()
    keys = first.list("log/")
    assert len(keys) == 2, "two hours, two files"
    assert keys == second.list("log/")
    assert [first.get(key) for key in keys] == [second.get(key) for key in keys]
    rows = read_predictions(first, config, NOW - timedelta(hours=1), NOW + timedelta(hours=2)).rows
    assert rows["_prediction_id"].tolist() == ["a-0", "a-1"]


def test_counters_stay_in_memory_until_the_journal_folder_can_be_created(tmp_path):
    blocked = tmp_path / "journal"
    blocked.write_text("a file where the folder should be")
    out = {}
    here, folder, spec = make(tmp_path, collected(out))
    here.add("m", [1], 1)
    here.commit()
    assert here.dropping_rows
    blocked.unlink()
    here._retry_at = 0.0
    here.add("m", [2], 1)
    here.commit()
    assert not here.dropping_rows
    kill(folder)
    assert recover_orphans(tmp_path / "journal", [spec], MemoryStore()) == ([], "")
    assert out == {("gw", "m", 1): [1, 2]}
