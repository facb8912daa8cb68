"""Send the champion's requests to the candidate, off the response path: a bounded queue to its own process.

Offering never blocks: when the queue is full, rows are dropped and counted. When the process dies it is
restarted, with growing pauses, and its batch is dropped: a killed process says nothing about the version.
Repeated deaths without a single prediction do, and the shadow fails.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.serving.inference.scoring import ScoredRequest
from homeostat.serving.inference.shadow_worker import ShadowJob, main
from homeostat.serving.recorder.prediction_log import ServedRequest

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

logger = logging.getLogger(__name__)

_BATCH_ROWS = 256
#: No client waits for a shadow. Fewer and larger calls leave the processor to the requests.
_GATHER_SECONDS = 0.05
_LOAD_SECONDS = 120.0
_PREDICT_SECONDS = 30.0
#: Extra time for a process that is ready to run: it only gets the processor time that others leave.
_STARVED_SECONDS = 300.0
_PAUSES = (0.2, 0.5, 2.0, 5.0)
_MAX_DEATHS = 5  # in a row, without a single prediction

#: The predictions of one request, or the error message and the duration in milliseconds.
Result = ScoredRequest | tuple[str, float]


@dataclass(frozen=True, slots=True)
class ShadowCallbacks:
    """Called on predictions, on dropped rows, on a restart, and when the candidate fails in its shadow."""

    predicted: Callable[[Sequence[ServedRequest], Sequence[Result]], None]
    dropped: Callable[[int], None]
    restarted: Callable[[], None]
    failed: Callable[[str], None]


class _ProcessLost(Exception):
    """The process died or hung."""


class Shadow:
    """One shadow candidate: a thread here, a process there."""

    def __init__(self, job: ShadowJob, callbacks: ShadowCallbacks, *, max_rows: int) -> None:
        self.job = job
        self._callbacks = callbacks
        self._max_rows = max_rows
        self._queue: deque[ServedRequest] = deque()
        self._rows = 0
        self._wake = threading.Condition()
        self._stopping = False
        self._predicted = False
        self.ready = threading.Event()
        self._process: SpawnProcess | None = None
        # In a copy of the context: log lines name the trace of the rollout that the shadow belongs to.
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._run,), name=f"shadow-{job.config.name}", daemon=True
        )

    def start(self) -> None:
        """Start the thread; it starts the process."""
        self._thread.start()

    def offer(self, served: ServedRequest) -> bool:
        """Queue a request that the champion served; return False when it was dropped."""
        with self._wake:
            if self._stopping or self._rows + served.rows.count > self._max_rows:
                dropped = True
            else:
                dropped = False
                self._queue.append(served)
                self._rows += served.rows.count
                if len(self._queue) == 1 or self._rows >= _BATCH_ROWS:
                    self._wake.notify()
        if dropped:
            self._callbacks.dropped(served.rows.count)
        return not dropped

    @property
    def waiting_rows(self) -> int:
        """Rows that wait for the process."""
        return self._rows

    @property
    def pid(self) -> int | None:
        """The process id, while the process runs."""
        return self._process.pid if self._process is not None else None

    def stop(self, *, wait: float = 2.0) -> None:
        """Stop the process; waiting rows are dropped and counted."""
        with self._wake:
            self._stopping = True
            left, self._rows = self._rows, 0
            self._queue.clear()
            self._wake.notify_all()
        if left:
            self._callbacks.dropped(left)
        if wait and self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(wait)
        process = self._process
        if process is not None and process.is_alive():
            process.kill()

    def _run(self) -> None:
        deaths = 0
        while not self._stopping:
            self._predicted = False
            try:
                self._serve()
            except _ProcessLost as error:
                if self._stopping:
                    return
                deaths = 1 if self._predicted else deaths + 1
                if deaths >= _MAX_DEATHS:
                    self._stopping = True
                    self._callbacks.failed(f"its shadow process ended {deaths} times in a row: {error}")
                    return
                logger.warning(
                    "the shadow process of %s ended and is restarted: %s", self.job.config.name, error
                )
                self._callbacks.restarted()
                with self._wake:
                    if not self._stopping:
                        self._wake.wait_for(lambda: self._stopping, _PAUSES[min(deaths, len(_PAUSES)) - 1])
            else:
                return

    def _serve(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=main, args=(theirs, self.job), daemon=True)
        process.start()
        self._process = process
        theirs.close()
        try:
            state, reason = self._receive(ours, _LOAD_SECONDS)
            if state == "failed":
                self._stopping = True
                self._callbacks.failed(reason)
                return
            self.ready.set()
            while batch := self._next_batch():
                self._predict(ours, batch)
        finally:
            self.ready.clear()
            ours.close()
            process.join(1.0)
            if process.is_alive():
                process.kill()
                process.join(5.0)
            with contextlib.suppress(ValueError):
                process.close()
            self._process = None

    def _predict(self, connection: Connection, batch: list[ServedRequest]) -> None:
        try:
            connection.send([served.rows for served in batch])
            results = self._receive(connection, _PREDICT_SECONDS)
        except (_ProcessLost, OSError) as error:
            self._callbacks.dropped(sum(served.rows.count for served in batch))
            raise _ProcessLost(str(error)) from error
        self._predicted = True
        self._callbacks.predicted(batch, results)

    def _receive(self, connection: Connection, seconds: float) -> Any:
        end = time.monotonic() + seconds
        try:
            while not connection.poll(0.25):
                if self._stopping:
                    raise _ProcessLost("stopping")
                late = time.monotonic() - end
                if late > _STARVED_SECONDS or (late > 0 and not self._runnable()):
                    msg = f"no response within {seconds:g} s"
                    raise _ProcessLost(msg)
            return connection.recv()
        except (EOFError, OSError) as error:
            raise _ProcessLost("the process ended") from error

    def _runnable(self) -> bool:
        """Return whether the process runs, or is ready to run and waits for the processor."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return False
        return stat.rpartition(") ")[2].startswith("R")

    def _next_batch(self) -> list[ServedRequest]:
        with self._wake:
            self._wake.wait_for(lambda: self._queue or self._stopping)
            self._wake.wait_for(lambda: self._rows >= _BATCH_ROWS or self._stopping, _GATHER_SECONDS)
            if self._stopping:
                return []
            batch = [self._queue.popleft()]
            size = batch[0].rows.count
            while self._queue and size + self._queue[0].rows.count <= _BATCH_ROWS:
                batch.append(self._queue.popleft())
                size += batch[-1].rows.count
            self._rows -= size
            return batch
