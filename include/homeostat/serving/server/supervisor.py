"""Several workers behind one address: started, watched, started again, and stopped together.

uvicorn's own supervisor starts a worker that died again without a pause, stops all when one does not come
up, waits for a drain without an end, and leaves its workers behind when it is itself killed. So only its
server is used. The listening socket is bound once and shared: connections that wait in its queue survive a
worker's death, and one that hangs takes no new ones.
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

from homeostat.serving.worker_ipc import Place, ask, make_folder

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

logger = logging.getLogger(__name__)

#: After SIGTERM the workers have this long; SageMaker, Kubernetes and compose kill everything after 30 s.
STOP_SECONDS = 28.0
#: A worker whose event loop has not turned for this long is killed and started again.
HANG_SECONDS = 30.0
#: One that lived shorter than this is started again only after a pause, each twice as long as the last.
SETTLED_SECONDS = 20.0
_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_LOOK_SECONDS = 0.2

#: What a worker runs: ``work(listening, place)``. It is pickled: a function of a module.
Work = Callable[[socket.socket, Place], None]


@dataclass(slots=True)
class Slot:
    """One worker's place, whichever process holds it: ``state`` is starting, up, hung or waiting."""

    worker: int
    pid: int | None = None
    state: str = "starting"
    restarts: int = 0


class Supervisor:
    """Keeps ``count`` workers running until it is told to stop; a thread looks after each."""

    def __init__(self, work: Work, listening: socket.socket, count: int, state: Path) -> None:
        self._work = work
        self._listening = listening
        self._folder = make_folder(state)
        self._slots = [Slot(index) for index in range(count)]
        self._context = multiprocessing.get_context("spawn")
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._anyone_was_up = False
        self.exit_code = 0

    def run(self) -> int:
        """Supervise until SIGTERM or SIGINT; the exit status: not 0 when no worker ever came up."""
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: self._stopping.set())
        self._publish()
        keepers = [threading.Thread(target=self._keep, args=(slot,)) for slot in self._slots]
        for keeper in keepers:
            keeper.start()
        try:
            self._stopping.wait()
            self._listening.close()  # the workers have closed theirs: nobody is let in to wait for nothing
            for keeper in keepers:
                keeper.join()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        return self.exit_code

    def _keep(self, slot: Slot) -> None:
        pause = _PAUSE
        while not self._stopping.is_set():
            begun = time.monotonic()
            process = self._start(slot)
            self._watch(slot, process)
            if self._stopping.is_set():
                _end(process)
                return
            process.join()
            lived = time.monotonic() - begun
            if not self._anyone_was_up:
                logger.error("worker %d did not start (exit status %s)", slot.worker, process.exitcode)
                self.exit_code = max(process.exitcode or 1, 1)
                self._stopping.set()
                return
            logger.error(
                "worker %d (process %s) ended after %.0f s with %s; it is started again",
                *(slot.worker, slot.pid, lived, _how(process.exitcode)),
            )
            slot.restarts += 1
            if lived > SETTLED_SECONDS:
                pause = _PAUSE
                continue
            self._show(slot, "waiting")
            self._stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _start(self, slot: Slot) -> SpawnProcess:
        process = self._context.Process(
            target=follow,
            args=(self._work, self._listening, Place(self._folder, slot.worker, len(self._slots))),
            name=f"worker-{slot.worker}",
        )
        with self._lock:  # the module keeps a list of children that it does not lock
            process.start()
        slot.pid = process.pid
        self._show(slot, "starting")
        return process

    def _watch(self, slot: Slot, process: SpawnProcess) -> None:
        """Return when the process ended or when everything is to stop; kill it when it hangs for too long."""
        heard = time.monotonic()
        asked = 0.0
        while not self._stopping.is_set() and not wait([process.sentinel], _LOOK_SECONDS):
            now = time.monotonic()
            if slot.state == "up" and now - asked < 1.0:
                continue
            asked = now
            if ask(self._folder, slot.worker, "ping").said is not None:
                heard = time.monotonic()
                self._anyone_was_up = True
                self._show(slot, "up")
            elif slot.state != "starting" and process.is_alive():
                self._show(slot, "hung")
                if time.monotonic() - heard > HANG_SECONDS:
                    logger.error("worker %d hangs for %.0f s and is killed", slot.worker, HANG_SECONDS)
                    process.kill()

    def _show(self, slot: Slot, state: str) -> None:
        if (slot.state, state) == ("up", "hung"):
            logger.warning("worker %d (process %s) does not answer", slot.worker, slot.pid)
        slot.state = state
        self._publish()

    def _publish(self) -> None:
        path = self._folder / "workers.json"
        scratch = path.with_suffix(".new")
        try:
            with self._lock:
                scratch.write_text(json.dumps([asdict(slot) for slot in self._slots]), "utf-8")
                scratch.replace(path)
        except OSError as error:  # a full disk costs the roster, not the workers
            logger.warning("the workers' roster could not be written: %s", error)


def _end(process: SpawnProcess) -> None:
    process.terminate()
    process.join(STOP_SECONDS)
    if process.is_alive():
        logger.error("process %s did not end within %.0f s and is killed", process.pid, STOP_SECONDS)
        process.kill()
        process.join()


def _how(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"


def follow(work: Work, listening: socket.socket, place: Place) -> None:
    """A worker's main: work, and drain and end as soon as the supervisor is gone, however it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the supervisor too, which passes it on
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            wait([parent.sentinel])
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(STOP_SECONDS)
            os._exit(1)

        threading.Thread(target=watch, name="parent", daemon=True).start()
    work(listening, place)
