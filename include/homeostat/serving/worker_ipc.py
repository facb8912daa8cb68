"""Queries between the workers of one gateway, over private Unix sockets.

    <folder>/0.sock ...      one socket per worker, served by a thread
    <folder>/workers.json    the supervisor's view of all workers

A query is one line, the reply one JSON object. A worker replies only if its event loop runs: one whose loop
hangs gives no reply, whatever its threads still do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import socket
import socketserver
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

#: Seconds that a worker has for a reply.
REPLY_SECONDS = 1.0
_MAX_PATH_BYTES = 90  # the operating system's limit for a socket's path, less a margin

#: Query name -> the function that returns this worker's value, as JSON data.
Queries = Mapping[str, Callable[[], Any]]


@dataclass(frozen=True, slots=True)
class WorkerAddress:
    """Where a worker is reached: the folder of the sockets, its index, and the number of workers."""

    folder: Path
    index: int
    count: int


@dataclass(frozen=True, slots=True)
class WorkerReply:
    """One worker's reply. Without one, ``value`` is None and ``error`` says why."""

    worker: int
    value: Any
    error: str = ""


def make_socket_folder(state: Path) -> Path:
    """Make a private folder for one gateway's sockets: below ``state``, or in /tmp if that path is too long.

    Folders of gateways that are no longer running are removed.
    """
    run = state / "run"
    run.mkdir(parents=True, exist_ok=True)
    for old in run.glob("gateway-*"):
        if not _is_running(old.name.rpartition("-")[2]):
            shutil.rmtree(old, ignore_errors=True)
    folder = run / f"gateway-{os.getpid()}"
    if len(os.fsencode(folder)) > _MAX_PATH_BYTES:
        return Path(tempfile.mkdtemp(prefix="homeostat-"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OSError):
        return True
    return True


def query_worker(folder: Path, worker: int, query: str, seconds: float = REPLY_SECONDS) -> WorkerReply:
    """Query one worker and wait at most ``seconds`` for each part of its reply. Never raises."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(str(folder / f"{worker}.sock"))
            connection.sendall(query.encode() + b"\n")
            chunks = []
            while chunk := connection.recv(1 << 16):
                chunks.append(chunk)
        reply = json.loads(b"".join(chunks))
    except TimeoutError:
        return WorkerReply(worker, None, f"worker {worker} hangs: no reply within {seconds:g} s")
    except (OSError, ValueError):
        return WorkerReply(worker, None, f"worker {worker} is not running")
    if "error" in reply:
        return WorkerReply(worker, None, f"worker {worker}: {reply['error']}")
    return WorkerReply(worker, reply["value"])


class WorkerPeers:
    """The workers of one gateway, as one of them reaches the others."""

    def __init__(self, address: WorkerAddress) -> None:
        self.address = address
        self._queries: Queries = {}
        self._server: socketserver.ThreadingUnixStreamServer | None = None

    def listen(self, loop: asyncio.AbstractEventLoop, queries: Queries) -> None:
        """Reply to these queries from now on, while ``loop`` runs."""
        self._queries = queries

        class Handler(socketserver.StreamRequestHandler):
            timeout = 10.0

            def handle(self) -> None:
                query = self.rfile.readline(64).decode("ascii", "replace").strip()
                reply = _reply(loop, queries, query)
                with contextlib.suppress(OSError):  # the other side did not wait
                    self.wfile.write(reply)

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            request_queue_size = 64

        path = self.address.folder / f"{self.address.index}.sock"
        path.unlink(missing_ok=True)
        self._server = Server(str(path), Handler)
        threading.Thread(target=self._server.serve_forever, name="worker-queries", daemon=True).start()

    def query_all(self, query: str, seconds: float = REPLY_SECONDS) -> list[WorkerReply]:
        """Query all workers at the same time, this one included. Do not call it from the event loop."""

        def one(worker: int) -> WorkerReply:
            if worker == self.address.index and query in self._queries:
                return _own_reply(worker, self._queries[query])
            return query_worker(self.address.folder, worker, query, seconds)

        with ThreadPoolExecutor(self.address.count, thread_name_prefix="query") as pool:
            return list(pool.map(one, range(self.address.count)))

    def roster(self) -> list[dict[str, Any]]:
        """Return the supervisor's view: worker, pid, state and restarts of each."""
        try:
            path = self.address.folder / "workers.json"
            workers: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            return []
        return workers

    def close(self) -> None:
        """Stop replying."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def _own_reply(worker: int, value: Callable[[], Any]) -> WorkerReply:
    try:
        return WorkerReply(worker, value())
    except Exception as error:  # noqa: BLE001  # reported as the other workers would see it: one sentence
        return WorkerReply(worker, None, f"worker {worker}: {error}")


def _reply(loop: asyncio.AbstractEventLoop, queries: Queries, query: str) -> bytes:
    loop_runs = threading.Event()
    try:
        loop.call_soon_threadsafe(loop_runs.set)
        if not loop_runs.wait(10 * REPLY_SECONDS):
            return b'{"error": "its event loop hangs"}'
        return json.dumps({"value": queries[query]()}, default=str).encode()
    except Exception as error:
        logger.warning("no reply to the query %r", query[:40], exc_info=True)
        return json.dumps({"error": str(error)[:500]}).encode()
