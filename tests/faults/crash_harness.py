"""Gateways that kill themselves at a numbered point, and clients that record which requests got a response.

The points exist only here: one function of the gateway process is replaced by one that kills the process.
Processes are forked from one that has imported everything, so that a case takes a second or two.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pyarrow.parquet as pq

from faults.gateway_processes import ROW, Gateway, Installation, until
from homeostat.adapters import open_store
from homeostat.serving.recorder.counters import Counters
from homeostat.serving.recorder.recovery import _locked

#: The points, with the numbers used in the docs.
POINTS = {
    1: "before the count",
    2: "after the count, before the response",
    3: "after responses, before the journal",
    4: "the journal half written",
    5: "journaled, before the chunk",
    6: "chunk written, not yet counted as done",
    7: "chunk done, its segment not yet deleted",
    8: "recovery, before its chunk",
    9: "recovery, chunk written",
    10: "recovery, before the loss is reported",
    11: "recovery, loss reported, before the folder is deleted",
}
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "homeostat.serving.http.app",
        "homeostat.serving.server.http_limits",
        "homeostat.serving.server.serve",
        "homeostat.serving.http.aggregate",
        "homeostat.adapters.history_mlflow",
        "homeostat.adapters.registry_mlflow",
        "homeostat.adapters.configured_source",
        "serving.gateway_harness",
        "httptools",
        "sqlalchemy",
        "uvicorn",
    ]
)


def die(*_: Any, **__: Any) -> None:
    """End as kill -9 ends a process: at once, without cleanup."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def kill_at(owner: Any, name: str, call: int, before: Callable[..., None] | None = None) -> None:
    """Kill the process at the given call of ``owner.name`` (after ``before``)."""
    real = getattr(owner, name)
    calls: list[None] = []

    def deadly(*args: Any, **more: Any) -> Any:
        calls.append(None)
        if len(calls) >= call:
            if before is not None:
                before(real, *args, **more)
            die()
        return real(*args, **more)

    setattr(owner, name, deadly)


def arm(point: int, *, sync: bool) -> None:
    """Make this process kill itself at a point."""
    from homeostat.serving.recorder import journal, recovery, spool
    from homeostat.serving.recorder.counters import Counters

    served = "add_durable" if sync else "add"

    def done(real: Callable[..., Any], *args: Any, **more: Any) -> None:
        real(*args, **more)

    def half(_: Any, handle: int, data: bytes) -> None:
        os.write(handle, data[: len(data) // 2])

    {
        0: lambda: None,
        1: lambda: kill_at(Counters, "add", 150),
        2: lambda: kill_at(spool.Spool, served, 150, done),
        3: lambda: kill_at(journal.Journal, "append", 12),
        4: lambda: kill_at(journal, "write_all", 12, half),
        5: lambda: kill_at(spool, "upload_segment", 3),
        6: lambda: kill_at(Counters, "set", 3),
        7: lambda: kill_at(Counters, "set", 3, done),
        8: lambda: kill_at(recovery, "upload_segment", 1),
        9: lambda: kill_at(Counters, "set", 1),
        10: lambda: kill_at(recovery, "_report", 1),
        11: lambda: kill_at(recovery.shutil, "rmtree", 2),  # the first call prepares the new process's folder
    }[point]()


def serve_until_death(log: str, env: dict[str, str], point: int, sync: bool) -> None:
    """Run the gateway in the forked process."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdin = io.StringIO()
    os.environ.update(env)
    from homeostat.config import Settings
    from homeostat.serving.server.serve import run

    arm(point, sync=sync)
    run(Settings.from_env(), "127.0.0.1", 0, load="serving.gateway_harness:load")


class Forked:
    """A forked gateway with the interface of :class:`subprocess.Popen`."""

    def __init__(self, *args: Any) -> None:
        self._process = _context.Process(target=serve_until_death, args=args, daemon=True)
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        assert self.pid is not None
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, seconds: float | None = None) -> int | None:
        self._process.join(seconds)
        return self._process.exitcode


@dataclass
class Crashing:
    """A gateway that is started repeatedly on the same state folder."""

    made: Installation
    sync: bool = False
    starts: int = 0
    name: str = "crash"
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.sync:
            path = self.made.folder / "include" / "models" / "pump" / "model.yaml"
            path.write_text(path.read_text() + "log: sync\n")
        self.made.begin(self.made.version((self.name,)))

    def start(self, point: int = 0) -> Gateway:
        state = self.made.folder / self.name
        state.mkdir(exist_ok=True)
        self.starts += 1
        log = state / f"gateway{self.starts}.log"
        env = self.made.env(self.name, **{"HOMEOSTAT_GATEWAY_FLUSH_SECONDS": "0.3", **self.env})
        log.touch()
        gateway = Gateway(Forked(str(log), env, point, self.sync), log, state)  # type: ignore[arg-type]
        self.made.gateways.append(gateway)
        return gateway

    @property
    def journals(self) -> Path:
        return self.made.folder / self.name / "journal"

    def orphans(self) -> list[Path]:
        """Return the journal folders that ended processes left."""
        found = []
        for path in sorted(self.journals.glob("crash-*")):
            lock = _locked(path / "lock")
            if lock is not None:
                os.close(lock)
                found.append(path)
        return found

    def recovered_all(self, running: int = 1) -> bool:
        """Return whether only folders of running processes are left."""
        return len(list(self.journals.glob("crash-*"))) == running

    def counted(self, log: str = "predictions") -> int:
        """Return the rows that ended processes counted as served."""
        return sum(Counters.open(path / "counts").get(f"{log}/pump/counted") for path in self.orphans())

    def logged(self, log: str = "predictions") -> list[str]:
        """Return every prediction id in the store, duplicates included."""
        store = open_store(f"file://{self.made.folder}/shared/store")
        tables = (pq.read_table(io.BytesIO(store.get(key))) for key in store.list(f"log/pump/{log}/"))
        return [name for table in tables for name in table.column("prediction_id").to_pylist()]

    def recovered(self) -> tuple[dict[str, Any], str]:
        """Start once more, without a fault; return its log status and its metrics."""
        gateway = self.start()
        gateway.ready(1)
        until(self.recovered_all, f"orphans are recovered: {gateway.said()}")
        shown, metrics = gateway.get("/models/pump")[1]["log"], gateway.get("/metrics")[1]
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.wait(60)
        assert not list(self.journals.glob("crash-*")), "a gateway that stops normally leaves no journal"
        return shown, metrics


@dataclass
class Sent:
    """The requests that clients sent, and when each response arrived."""

    asked: list[str] = field(default_factory=list)
    acknowledged: dict[str, float] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)

    def slowest(self) -> float:
        """Return the longest time without any response: an upper bound for how long the machine stalled."""
        at = sorted(self.acknowledged.values())
        return max((later - earlier for earlier, later in pairwise(at)), default=0.0)


class Clients:
    """Clients with one connection each; they send row after row until the gateway ends or they stop."""

    def __init__(self, port: int, count: int = 4, *, path: str = "invocations", prefix: str = "") -> None:
        self.sent = Sent()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(port, f"{prefix}{i}", path), daemon=True)
            for i in range(count)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(45)

    def _ask(self, port: int, client: str, path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        serial = 0
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            while not self._stop.is_set():
                name = f"{client}-{serial}"
                serial += 1
                self.sent.asked.append(name)
                body = {
                    "invocations": {"dataframe_records": [ROW]},
                    "labels": {"labels": [{"id": name, "label": 1}]},
                }[path]
                headers = {"Content-Type": "application/json", "X-Request-Id": name}
                headers["Authorization"] = "Bearer a-token-for-tests"
                connection.request("POST", f"/models/pump/{path}", json.dumps(body), headers)
                answer = connection.getresponse()
                answer.read()
                self.sent.statuses.append(answer.status)
                if answer.status == 200:
                    self.sent.acknowledged[name] = time.monotonic()


def load_until_death(gateway: Gateway, *, path: str = "invocations", seconds: float = 90.0) -> Sent:
    """Send load until the gateway has killed itself."""
    with Clients(gateway.port, path=path) as clients:
        until(lambda: gateway.process.poll() is not None, f"it is killed: {gateway.said()}", seconds)
    assert gateway.process.poll() == -signal.SIGKILL, gateway.said()
    return clients.sent


def metric(text: str, name: str) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))
