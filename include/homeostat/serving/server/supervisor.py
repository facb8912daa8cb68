"""Run several workers behind one address: start, monitor, restart and stop them.

uvicorn's own supervisor restarts a dead worker without a pause, stops all workers when one does not start,
waits for a drain without a limit, and leaves its workers running when it is killed. So only its server is
used. The listening socket is bound once and shared: connections in its queue survive the death of a worker,
and a worker that hangs accepts no new ones.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

from homeostat.serving.worker_ipc import WorkerAddress, make_socket_folder, query_worker

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

logger = logging.getLogger(__name__)

#: Time for the workers to end after SIGTERM; SageMaker, Kubernetes and compose kill after 30 s.
STOP_SECONDS = 28.0
#: A worker whose event loop hangs for this long is killed and restarted.
HANG_SECONDS = 30.0
#: A worker that ran for less than this is restarted after a pause, which doubles each time.
STABLE_SECONDS = 20.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_CHECK_SECONDS = 0.2

#: What a worker runs: ``run_worker(listening, address)``. It is pickled, so it must be a module's function.
WorkerTarget = Callable[[socket.socket, WorkerAddress], None]


@dataclass(slots=True)
class WorkerSlot:
    """One worker across its restarts; ``state`` is starting, up, hung or waiting."""

    worker: int
    pid: int | None = None
    state: str = "starting"
    restarts: int = 0


class Supervisor:
    """Keeps ``count`` workers running until it is stopped; one thread monitors each."""

    def __init__(self, run_worker: WorkerTarget, listening: socket.socket, count: int, state: Path) -> None:
        self._run_worker = run_worker
        self._listening = listening
        self._folder = make_socket_folder(state)
        self._slots = [WorkerSlot(index) for index in range(count)]
        self._context = multiprocessing.get_context("spawn")
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._any_started = False
        self.exit_code = 0

    def run(self) -> int:
        """Supervise until SIGTERM or SIGINT. Return the exit status: not 0 if no worker started."""
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: self._stopping.set())
        self._write_roster()
        threads = [threading.Thread(target=self._keep_running, args=(slot,)) for slot in self._slots]
        for thread in threads:
            thread.start()
        try:
            self._stopping.wait()
            self._listening.close()  # the workers have closed theirs: no connection would be served
            for thread in threads:
                thread.join()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        return self.exit_code

    def _keep_running(self, slot: WorkerSlot) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            started = time.monotonic()
            process = self._start(slot)
            self._monitor(slot, process)
            if self._stopping.is_set():
                _stop(process)
                return
            process.join()
            uptime = time.monotonic() - started
            if not self._any_started:
                logger.error("worker %d did not start (exit status %s)", slot.worker, process.exitcode)
                self.exit_code = max(process.exitcode or 1, 1)
                self._stopping.set()
                return
            logger.error(
                "worker %d (process %s) ended after %.0f s with %s and is restarted",
                *(slot.worker, slot.pid, uptime, _exit_text(process.exitcode)),
            )
            slot.restarts += 1
            if uptime > STABLE_SECONDS:
                pause = _FIRST_PAUSE
                continue
            self._set_state(slot, "waiting")
            self._stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _start(self, slot: WorkerSlot) -> SpawnProcess:
        process = self._context.Process(
            target=worker_main,
            args=(
                self._run_worker,
                self._listening,
                WorkerAddress(self._folder, slot.worker, len(self._slots)),
            ),
            name=f"worker-{slot.worker}",
        )
        with self._lock:  # multiprocessing does not lock its list of children
            process.start()
        slot.pid = process.pid
        self._set_state(slot, "starting")
        return process

    def _monitor(self, slot: WorkerSlot, process: SpawnProcess) -> None:
        """Return when the process has ended or the supervisor stops; kill a process that hangs."""
        last_reply = time.monotonic()
        last_query = 0.0
        while not self._stopping.is_set() and not wait([process.sentinel], _CHECK_SECONDS):
            now = time.monotonic()
            if slot.state == "up" and now - last_query < 1.0:
                continue
            last_query = now
            if query_worker(self._folder, slot.worker, "ping").value is not None:
                last_reply = time.monotonic()
                self._any_started = True
                self._set_state(slot, "up")
            elif slot.state != "starting" and process.is_alive():
                self._set_state(slot, "hung")
                if time.monotonic() - last_reply > HANG_SECONDS:
                    logger.error("worker %d hangs for %.0f s and is killed", slot.worker, HANG_SECONDS)
                    process.kill()

    def _set_state(self, slot: WorkerSlot, state: str) -> None:
        if (slot.state, state) == ("up", "hung"):
            logger.warning("worker %d (process %s) does not respond", slot.worker, slot.pid)
        slot.state = state
        self._write_roster()

    def _write_roster(self) -> None:
        path = self._folder / "workers.json"
        scratch = path.with_suffix(".new")
        try:
            with self._lock:
                scratch.write_text(json.dumps([asdict(slot) for slot in self._slots]), "utf-8")
                scratch.replace(path)
        except OSError as error:  # a full disk must not stop the workers
            logger.warning("cannot write the list of workers: %s", error)


def _stop(process: SpawnProcess) -> None:
    process.terminate()
    process.join(STOP_SECONDS)
    if process.is_alive():
        logger.error("process %s did not end within %.0f s and is killed", process.pid, STOP_SECONDS)
        process.kill()
        process.join()


def _exit_text(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"


def worker_main(run_worker: WorkerTarget, listening: socket.socket, address: WorkerAddress) -> None:
    """Run a worker; when the supervisor has ended, for whatever reason, drain and end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the supervisor too, which stops the workers
    parent = multiprocessing.parent_process()
    if parent is not None:

        def end_with_supervisor() -> None:
            wait([parent.sentinel])
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(STOP_SECONDS)
            os._exit(1)

        threading.Thread(target=end_with_supervisor, name="parent", daemon=True).start()
    run_worker(listening, address)
