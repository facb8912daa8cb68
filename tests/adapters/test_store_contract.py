"""What every Store promises, held against the fake and each real one."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from homeostat.adapters import open_store
from homeostat.adapters.store_memory import MemoryStore
from homeostat.config.errors import AlreadyExists, ConfigError, NotFound, Refused, Unavailable

if TYPE_CHECKING:
    from homeostat.ports import Store


@pytest.fixture(params=["memory", "file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "file":
        return open_store((tmp_path / "a store").as_uri())
    server = request.getfixturevalue("s3_server")
    return open_store(f"s3://{server.bucket}/{tmp_path.name}")


def test_what_was_put_is_got_back(store):
    store.put("snapshots/pump/ab.parquet", b"\x00rows")
    assert store.get("snapshots/pump/ab.parquet") == b"\x00rows"
    assert store.exists("snapshots/pump/ab.parquet")


def test_nothing_is_not_there(store):
    assert not store.exists("a/b")
    assert store.list("") == []
    assert store.list("a/b") == []
    with pytest.raises(NotFound, match="a/b"):
        store.get("a/b")
    store.delete("a/b")


def test_a_folder_is_not_a_key(store):
    store.put("a/b/c", b"1")
    assert not store.exists("a/b")
    with pytest.raises(NotFound):
        store.get("a/b")


def test_a_key_is_written_once(store):
    store.put("k", b"first")
    store.put("k", b"first")
    with pytest.raises(AlreadyExists, match="written once"):
        store.put("k", b"second")
    assert store.get("k") == b"first"


def test_overwriting_has_to_be_asked_for(store):
    store.put("k", b"first")
    store.put("k", b"second", overwrite=True)
    assert store.get("k") == b"second"


def test_an_empty_value_is_a_value(store):
    store.put("empty", b"")
    assert store.get("empty") == b""
    with pytest.raises(AlreadyExists):
        store.put("empty", b"x")


def test_a_list_is_sorted_and_stays_in_its_folder(store):
    for key in ("log/m/date=2026-01-02/b", "log/m/date=2026-01-02/a", "log/mm/x", "log/m2", "z"):
        store.put(key, b"1")
    assert store.list("log/m") == ["log/m/date=2026-01-02/a", "log/m/date=2026-01-02/b"]
    assert store.list("log/m/") == store.list("log/m")
    assert store.list("") == sorted(
        ["log/m/date=2026-01-02/b", "log/m/date=2026-01-02/a", "log/mm/x", "log/m2", "z"]
    )


def test_a_deleted_key_is_gone(store):
    store.put("a/k", b"1")
    store.delete("a/k")
    assert not store.exists("a/k")
    assert store.list("a") == []


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".hidden", "a\\b", "a%2e", "x" * 901]
)
def test_no_key_leaves_the_store(store, key):
    for call in (
        lambda: store.put(key, b"x"),
        lambda: store.get(key),
        lambda: store.exists(key),
        lambda: store.delete(key),
    ):
        with pytest.raises(Refused, match="cannot be a key"):
            call()


def test_of_many_writers_of_one_key_one_wins(store):
    def write(data: bytes) -> None:
        start.wait()
        try:
            store.put("race", data)
        except AlreadyExists:
            lost.append(data)

    values = [bytes([i]) * 1000 for i in range(8)]
    start, lost = threading.Barrier(len(values)), []
    threads = [threading.Thread(target=write, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("race") in values
    assert sorted([*lost, store.get("race")]) == values


def test_a_reader_never_sees_half_a_write(store):
    sizes = set()
    done = threading.Event()
    store.put("k", b"a" * 200_000)

    def write() -> None:
        for letter in b"bcdefgh":
            store.put("k", bytes([letter]) * 200_000, overwrite=True)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not (done.is_set() and sizes):
        data = store.get("k")
        sizes.add((len(data), len(set(data))))
    thread.join()
    assert sizes == {(200_000, 1)}


def test_a_uri_says_where(store):
    assert store.uri("a/b").split("://")[0] in ("memory", "file", "s3")
    assert store.uri("a/b").endswith("a/b")


def test_a_fake_that_is_down_says_so():
    store = MemoryStore()
    store.down = True
    with pytest.raises(Unavailable):
        store.list("")


def test_an_object_store_that_is_down_is_unavailable_within_seconds(monkeypatch, free_port):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    started = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer"):
        open_store("s3://bucket/x").put("k", b"1")
    assert time.monotonic() - started < 10


def test_a_missing_bucket_is_named(s3_server):
    with pytest.raises(ConfigError, match="no-such-bucket"):
        open_store("s3://no-such-bucket").put("k", b"1", overwrite=True)


def test_a_file_store_without_its_disk_is_unavailable(tmp_path):
    (tmp_path / "taken").write_text("a file where the store's folder should be")
    with pytest.raises(Unavailable, match="check the disk"):
        open_store((tmp_path / "taken").as_uri()).put("k", b"1")


def test_an_unfinished_write_is_never_listed(tmp_path):
    store = open_store(tmp_path.as_uri())
    store.put("a", b"1")
    (tmp_path / ".partial").mkdir(exist_ok=True)
    (tmp_path / ".partial" / "tmp123").write_bytes(b"half")
    assert store.list("") == ["a"]


@pytest.mark.parametrize("url", ["", "store", "file://", "ftp://x/y", "s3://", "file://host/x"])
def test_a_store_url_of_no_known_kind_shows_the_right_ones(url):
    with pytest.raises(ConfigError, match="s3://bucket/prefix"):
        open_store(url)
