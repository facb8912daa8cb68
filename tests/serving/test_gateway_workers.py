"""The parts of a gateway with several workers."""

import asyncio
import os
import re
import tempfile
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from homeostat.config.errors import ConfigError, Unavailable
from homeostat.serving.http.aggregate import merge_expositions
from homeostat.serving.metrics import MAX_VERSIONS, Metrics
from homeostat.serving.options import Options
from homeostat.serving.server.serve import listen
from homeostat.serving.worker_ipc import WorkerAddress, WorkerPeers, make_socket_folder, query_worker


def exposition(rows):
    registry = CollectorRegistry()
    counter = Counter("rows", "Rows {of} all.", ("model",), registry=registry)
    counter.labels('a "quoted" {brace} name').inc(rows)
    Histogram("seconds", "Time.", buckets=(1.0,), registry=registry).observe(rows)
    Gauge("kept", "Kept.", registry=registry).set(rows)
    return generate_latest(registry).decode()


def test_merged_metrics_keep_every_sample_and_label_its_worker():
    texts = {"0": exposition(3), "1": exposition(4)}
    both = list(text_string_to_metric_families(merge_expositions(texts)))
    assert len({family.name for family in both}) == len(both)
    found = {(s.name, tuple(sorted(s.labels.items()))): s.value for family in both for s in family.samples}
    wanted = {
        (s.name, tuple(sorted({**s.labels, "worker": worker}.items()))): s.value
        for worker, text in texts.items()
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }
    assert found == wanted
    assert {family.type for family in both} >= {"counter", "histogram", "gauge"}


@pytest.fixture
def loop():
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


def fails():
    raise Unavailable("the store does not answer")


def test_workers_query_one_another_and_a_missing_one_is_named(tmp_path, loop):
    folder = make_socket_folder(tmp_path)
    one, other = WorkerPeers(WorkerAddress(folder, 0, 3)), WorkerPeers(WorkerAddress(folder, 1, 3))
    one.listen(loop, {"who": lambda: "one", "flush": fails})
    other.listen(loop, {"who": lambda: {"big": "x" * 300_000}, "flush": fails})
    try:
        parts = one.query_all("who", 30)
        assert [part.value for part in parts] == ["one", {"big": "x" * 300_000}, None]
        assert parts[2].error == "worker 2 is not running"
        assert [part.error for part in one.query_all("flush", 30)][:2] == [
            "worker 0: the store does not answer",
            "worker 1: the store does not answer",
        ]
        assert query_worker(folder, 1, "no such question").value is None
    finally:
        one.close()
        other.close()


def test_a_worker_whose_event_loop_hangs_is_reported_in_time(tmp_path, loop):
    folder, go_on = make_socket_folder(tmp_path), threading.Event()
    one = WorkerPeers(WorkerAddress(folder, 0, 1))
    one.listen(loop, {"ping": lambda: "up"})
    try:
        assert query_worker(folder, 0, "ping", 30).value == "up"
        loop.call_soon_threadsafe(go_on.wait, 60)
        assert query_worker(folder, 0, "ping", 0.3).error == "worker 0 hangs: no reply within 0.3 s"
        assert not go_on.is_set(), "it hung all the while"
        go_on.set()
        assert query_worker(folder, 0, "ping", 30).value == "up"
    finally:
        go_on.set()
        one.close()


@pytest.fixture
def short_path():
    """A folder with a short name: that of ``tmp_path`` grows with the number of runs."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="h") as folder:
        yield Path(folder)


def test_socket_folders_of_killed_gateways_are_removed_and_of_running_ones_kept(short_path, tmp_path):
    mine = make_socket_folder(short_path)
    assert mine.stat().st_mode & 0o777 == 0o700
    dead = mine.with_name("gateway-999999999")
    dead.mkdir()
    living = mine.with_name(f"gateway-{os.getppid()}")
    living.mkdir()
    assert make_socket_folder(short_path) == mine
    assert not dead.exists()
    assert living.exists()
    deep = tmp_path / ("deep" * 30)
    assert len(os.fsencode(make_socket_folder(deep))) < 60


def test_an_address_in_use_is_an_error_with_a_remedy():
    with listen("127.0.0.1", 0) as taken, pytest.raises(Unavailable, match="choose another with --port"):
        listen("127.0.0.1", taken.getsockname()[1])


def test_the_number_of_workers_comes_from_the_environment():
    assert Options.from_env({}).workers == 1
    assert Options.from_env({"HOMEOSTAT_GATEWAY_WORKERS": "4"}).workers == 4
    with pytest.raises(ConfigError, match="HOMEOSTAT_GATEWAY_WORKERS: found '0'"):
        Options.from_env({"HOMEOSTAT_GATEWAY_WORKERS": "0"})


def test_metrics_of_unused_versions_are_removed_and_those_in_use_stay():
    metrics = Metrics()
    champion = metrics.of_version("pump", "1", "champion")
    champion.rows.inc(5)
    for number in range(2, 500):
        metrics.of_version("pump", "1", "champion")
        metrics.of_version("pump", str(number), "candidate").rows.inc()
    text = metrics.render().decode()
    assert 'homeostat_rows_total{model="pump",variant="champion",version="1"} 5.0' in text
    assert 'version="499"' in text
    versions = set(re.findall(r'version="(\d+)"', text))
    assert len(versions) == MAX_VERSIONS
