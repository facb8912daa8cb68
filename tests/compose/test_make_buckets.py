"""infra/compose/make_buckets.py against a store that is still starting: after a restart of all services."""

from __future__ import annotations

import http.server
import importlib.util
import threading
from pathlib import Path

import pytest

REFUSED, UNAVAILABLE = 4, 4
SCRIPT = Path(__file__).resolve().parents[2] / "infra/compose/make_buckets.py"


class StartingStore(http.server.BaseHTTPRequestHandler):
    """Cuts off the first connections, says 503 to the next ones, and then is an empty S3."""

    def do_HEAD(self):
        self._answer(200 if self.path in self.server.buckets else 404)

    def do_PUT(self):
        self._answer(200, made=self.path)

    def _answer(self, status, made=None):
        self.server.requests += 1
        if self.server.requests <= REFUSED:
            self.close_connection = True
            return
        ready = self.server.requests > REFUSED + UNAVAILABLE
        if ready and made is not None:  # before the answer, which the client may act on at once
            self.server.buckets.add(made)
        self.send_response(status if ready else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def store():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StartingStore)
    server.requests, server.buckets = 0, set()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def make_buckets(monkeypatch):
    """Load the script. The pauses between its attempts, half a minute in all, are left out."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    spec = importlib.util.spec_from_file_location("make_buckets", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_buckets_are_made_once_the_store_answers(store, make_buckets, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{store.server_port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    make_buckets(["homeostat", "mlflow"])
    assert store.buckets == {"/homeostat", "/mlflow"}
    assert store.requests == REFUSED + UNAVAILABLE + 4
    make_buckets(["homeostat", "mlflow"])  # both exist
    assert store.requests == REFUSED + UNAVAILABLE + 6
