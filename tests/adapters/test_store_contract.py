"""Contract of every Store: the in-memory fake, files and S3."""

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


@pytest.mark.quick
def test_get_returns_the_stored_bytes(store):
    store.put("snapshots/pump/ab.parquet", b"\x00rows")
    assert store.get("snapshots/pump/ab.parquet") == b"\x00rows"
    assert store.exists("snapshots/pump/ab.parquet")


def test_a_missing_key_is_not_found(store):
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


def test_a_key_is_write_once(store):
    store.put("k", b"first")
    store.put("k", b"first")
    with pytest.raises(AlreadyExists, match="written once"):
        store.put("k", b"second")
    assert store.get("k") == b"first"


def test_overwrite_replaces_the_bytes(store):
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


def test_a_deleted_key_does_not_exist(store):
    store.put("a/k", b"1")
    store.delete("a/k")
    assert not store.exists("a/k")
    assert store.list("a") == []


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".hidden", "a\\b", "a%2e", "x" * 901]
)
def test_an_invalid_key_is_refused(store, key):
    for call in (
        lambda: store.put(key, b"x"),
        lambda: store.get(key),
        lambda: store.exists(key),
        lambda: store.delete(key),
    ):
        with pytest.raises(Refused, match="cannot be a key"):
            call()


def test_of_concurrent_writers_one_wins(store):
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


def test_reads_never_see_a_partial_write(store):
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


def test_a_uri_contains_the_key(store):
    assert store.uri("a/b").split("://")[0] in ("memory", "file", "s3")
    assert store.uri("a/b").endswith("a/b")


def test_the_fake_can_simulate_an_outage():
    store = MemoryStore()
    store.down = True
    with pytest.raises(Unavailable):
        store.list("")


def test_an_unreachable_object_store_is_unavailable_within_seconds(monkeypatch, free_port):
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


def test_an_unusable_root_folder_is_unavailable(tmp_path):
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
def test_an_invalid_url_is_refused_with_examples(url):
    with pytest.raises(ConfigError, match="s3://bucket/prefix"):
        open_store(url)
