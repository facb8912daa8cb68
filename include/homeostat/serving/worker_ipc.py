"""What the workers of one gateway ask one another, over private Unix sockets.

    <folder>/0.sock ...      where each worker answers, from a thread of its own
    <folder>/workers.json    how the supervisor sees them all

A question is one line, the answer one JSON object. Every question goes through the asked worker's event
loop first: a worker whose loop hangs has no answer, whatever its threads still do.
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

#: Seconds that a worker has for an answer before it is reported as not answering.
PATIENCE = 1.0
_LONGEST_PATH = 90  # bytes that the operating system takes for a socket's path, less a margin


@dataclass(frozen=True, slots=True)
class Place:
    """A worker's place: the folder of the sockets, its number, and how many there are."""

    folder: Path
    index: int
    count: int


@dataclass(frozen=True, slots=True)
class Part:
    """One worker's answer; ``said`` is None, and ``why`` a sentence, when there was none."""

    worker: int
    said: Any
    why: str = ""


def make_folder(state: Path) -> Path:
    """A private folder for one gateway's sockets: below the state folder, or in /tmp where that is too deep.

    Folders of gateways that were killed are swept away.
    """
    run = state / "run"
    run.mkdir(parents=True, exist_ok=True)
    for old in run.glob("gateway-*"):
        if not _alive(old.name.rpartition("-")[2]):
            shutil.rmtree(old, ignore_errors=True)
    folder = run / f"gateway-{os.getpid()}"
    if len(os.fsencode(folder)) > _LONGEST_PATH:
        return Path(tempfile.mkdtemp(prefix="homeostat-"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OSError):
        return True
    return True


def ask(folder: Path, worker: int, question: str, seconds: float = PATIENCE) -> Part:
    """One worker's answer to ``question``. Never raises, and waits ``seconds`` for a word at most."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(seconds)
            line.connect(str(folder / f"{worker}.sock"))
            line.sendall(question.encode() + b"\n")
            chunks = []
            while chunk := line.recv(1 << 16):
                chunks.append(chunk)
        found = json.loads(b"".join(chunks))
    except TimeoutError:
        return Part(worker, None, f"worker {worker} hangs: no answer within {seconds:g} s")
    except (OSError, ValueError):
        return Part(worker, None, f"worker {worker} is not up")
    if "error" in found:
        return Part(worker, None, f"worker {worker}: {found['error']}")
    return Part(worker, found["said"])


class Siblings:
    """One worker among the others of its gateway."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._answers: Mapping[str, Callable[[], Any]] = {}
        self._server: socketserver.ThreadingUnixStreamServer | None = None

    def listen(self, loop: asyncio.AbstractEventLoop, answers: Mapping[str, Callable[[], Any]]) -> None:
        """Answer these questions from now on, as long as ``loop`` turns."""
        self._answers = answers

        class Handler(socketserver.StreamRequestHandler):
            timeout = 10.0

            def handle(self) -> None:
                question = self.rfile.readline(64).decode("ascii", "replace").strip()
                reply = _reply(loop, answers, question)
                with contextlib.suppress(OSError):  # whoever asked did not wait
                    self.wfile.write(reply)

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            request_queue_size = 64

        path = self.place.folder / f"{self.place.index}.sock"
        path.unlink(missing_ok=True)
        self._server = Server(str(path), Handler)
        threading.Thread(target=self._server.serve_forever, name="siblings", daemon=True).start()

    def ask_all(self, question: str, seconds: float = PATIENCE) -> list[Part]:
        """Every worker's answer, asked at the same time; never to be called from the event loop."""

        def one(worker: int) -> Part:
            if worker == self.place.index and question in self._answers:
                return _own(worker, self._answers[question])
            return ask(self.place.folder, worker, question, seconds)

        with ThreadPoolExecutor(self.place.count, thread_name_prefix="ask") as pool:
            return list(pool.map(one, range(self.place.count)))

    def roster(self) -> list[dict[str, Any]]:
        """How the supervisor sees the workers: worker, pid, state, restarts."""
        try:
            found: list[dict[str, Any]] = json.loads((self.place.folder / "workers.json").read_text("utf-8"))
        except (OSError, ValueError):
            return []
        return found

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def _own(worker: int, answer: Callable[[], Any]) -> Part:
    try:
        return Part(worker, answer())
    except Exception as error:  # noqa: BLE001  # as it would reach the others: a sentence, not a traceback
        return Part(worker, None, f"worker {worker}: {error}")


def _reply(loop: asyncio.AbstractEventLoop, answers: Mapping[str, Callable[[], Any]], question: str) -> bytes:
    turned = threading.Event()
    try:
        loop.call_soon_threadsafe(turned.set)
        if not turned.wait(10 * PATIENCE):
            return b'{"error": "its event loop hangs"}'
        return json.dumps({"said": answers[question]()}, default=str).encode()
    except Exception as error:
        logger.warning("no answer to %r", question[:40], exc_info=True)
        return json.dumps({"error": str(error)[:500]}).encode()
