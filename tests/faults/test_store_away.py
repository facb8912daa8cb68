"""S3 unreachable, slow, silent or resetting connections, while the gateway serves and logs."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from faults.blocking_server import Held
from faults.tcp_fault_proxy import FaultProxy
from homeostat.adapters import open_store
from homeostat.adapters.store_memory import MemoryStore
from homeostat.config.errors import Unavailable
from homeostat.storage.prediction_log import read_predictions
from serving.gateway_harness import make_gateway_fixture, serving, until


@pytest.fixture
def proxy(s3_server):
    parts = urlsplit(s3_server.endpoint)
    with FaultProxy(parts.hostname, parts.port, delay=0.3) as made:
        yield made


@pytest.fixture
def url(s3_server):
    return f"s3://{s3_server.bucket}/{uuid.uuid4().hex[:8]}"


@pytest.fixture
def through(proxy, url, monkeypatch):
    direct = open_store(url)
    direct.list("")  # its client is made while the environment still names S3 itself
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{proxy.address}")
    store = open_store(url)
    store.list("")
    return store, direct


@pytest.mark.parametrize("fault", ["refuse", "blackhole", "reset", "slow"])
def test_requests_are_served_and_every_row_is_logged_afterwards_while_s3_is(tmp_path, through, proxy, fault):
    store, direct = through
    setup = make_gateway_fixture(tmp_path, store=store)
    setup.begin(setup.version())
    begun = datetime.now(UTC)
    with serving(setup) as client:
        client.ready()
        with proxy.having(fault):
            for i in range(60):
                assert client.score(**{"X-Request-Id": f"r{i}"}).status_code == 200
                time.sleep(0.02)

        def logged():
            read = read_predictions(direct, setup.config, begun, datetime.now(UTC) + timedelta(minutes=1))
            return sorted(read.rows["_prediction_id"])

        until(lambda: logged() == sorted(f"r{i}" for i in range(60)), "every row is there, once", 90)
        until(lambda: client.http.get("/health").json()["status"] == "ok", "health is good again", 60)


def test_no_request_waits_for_the_log_to_be_written(tmp_path):
    held = Held(MemoryStore(), "put")
    setup = make_gateway_fixture(tmp_path, store=held)
    setup.begin(setup.version())
    begun = datetime.now(UTC)
    with serving(setup) as client:
        client.ready()
        held.shut()
        try:
            assert client.score(**{"X-Request-Id": "r0"}).status_code == 200
            until(lambda: held.waiting, "the log is being written")
            for i in range(1, 60):
                assert client.score(**{"X-Request-Id": f"r{i}"}).status_code == 200
            assert held.waiting, "it is still being written"
        finally:
            held.open()
        assert client.order("flush").status_code == 200
    read = read_predictions(setup.ports.store, setup.config, begun, datetime.now(UTC) + timedelta(minutes=1))
    assert sorted(read.rows["_prediction_id"]) == sorted(f"r{i}" for i in range(60))


def test_no_call_waits_longer_than_seconds_for_s3(through, proxy):
    store, _ = through
    limits = store._client.meta.config
    assert limits.connect_timeout <= 3
    assert limits.read_timeout <= 10
    with proxy.having("reset"), pytest.raises(Unavailable, match="does not answer"):
        store.get("k")
