"""kill -9 before and after every write of a run that joins the log's files: no row is lost or doubled."""

import multiprocessing
import os
import signal

import pytest

from homeostat.adapters.store_file import FileStore
from homeostat.storage.log_joining import GRACE, join_log
from log_to_join import HOUR, LATER, NOW, T0, StopsAt, same, seen, stored, write

#: Two hours with two files of each log: plans, files and cursors, then deleted files and plans.
JOINING, DELETING = 10, 12
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["log_to_join"])


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def run_until_killed(store, point, now):
    """Join in a process of its own; return whether it was killed.

    It is a child of the fork server, which has no threads: a fork of this process may inherit a held lock.
    """
    child = SERVER.Process(target=join_until_killed, args=(store, point, now))
    child.start()
    child.join()
    return child.exitcode == -signal.SIGKILL


def join_until_killed(store, point, now):
    join_log(StopsAt(store, point, kill), "m", 24 * HOUR, now)


@pytest.fixture
def store(tmp_path):
    found = FileStore(tmp_path)
    for hour in range(2):
        for number in range(2):
            write(found, sequence=number, start=T0 + hour * HOUR)
    return found


def finished(store, before, ids):
    for n in range(1, 4):
        join_log(store, "m", 24 * HOUR, LATER + n * GRACE)
    same(before, seen(store))
    for kind in ("predictions", "labels"):
        rows, files = stored(store, kind)
        assert rows == ids
        assert len(files) == 2
    assert store.list("log/m/joining") == []


def changes(store, now):
    counting = StopsAt(store, -1, kill)
    join_log(counting, "m", 24 * HOUR, now)
    return counting.changes


def test_these_are_all_writes(store):
    assert (changes(store, NOW), changes(store, LATER)) == (JOINING, DELETING)


@pytest.mark.parametrize("point", range(2 * JOINING))
def test_a_run_that_is_killed_while_it_joins(store, point):
    before, (ids, _) = seen(store), stored(store, "predictions")
    assert run_until_killed(store, point, NOW)
    same(before, seen(store))
    finished(store, before, ids)


@pytest.mark.parametrize("point", range(2 * DELETING))
def test_a_run_that_is_killed_while_it_deletes(store, point):
    before, (ids, _) = seen(store), stored(store, "predictions")
    join_log(store, "m", 24 * HOUR, NOW)
    assert run_until_killed(store, point, LATER)
    same(before, seen(store))
    finished(store, before, ids)
