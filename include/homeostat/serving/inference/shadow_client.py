"""The candidate answers what the champion answers, off the response path: a bounded queue to its own process.

Offering never blocks: when the queue is full, rows are dropped and counted. When the process dies it
is started again, with growing pauses, and the batch that it held is dropped: being killed says nothing
about the version. Dying again and again without an answer does.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.serving.inference.scoring import Scored
from homeostat.serving.inference.shadow_worker import ShadowJob, main
from homeostat.serving.recorder.prediction_log import Served

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

logger = logging.getLogger(__name__)

_BATCH_ROWS = 256
#: Nobody waits for a shadow. Fewer and larger calls leave the processor to those who are waited for.
_GATHER_SECONDS = 0.05
_LOAD_SECONDS = 120.0
_ANSWER_SECONDS = 30.0
#: How much longer a process may take that waits for its turn: it gets what others leave of the processor.
_STARVED_SECONDS = 300.0
_PAUSES = (0.2, 0.5, 2.0, 5.0)
_MAX_LOSSES = 5  # in a row, without a single answer

#: A result: the answers, or the failure's sentence and how long it took in milliseconds.
Result = Scored | tuple[str, float]


@dataclass(frozen=True, slots=True)
class ShadowHooks:
    """What the shadow tells: answers, drops (rows), restarts, and that the bundle does not load."""

    answered: Callable[[Sequence[Served], Sequence[Result]], None]
    dropped: Callable[[int], None]
    restarted: Callable[[], None]
    failed: Callable[[str], None]


class _Lost(Exception):
    """The process died or hung."""


class Shadow:
    """One shadow candidate: a thread here, a process there."""

    def __init__(self, job: ShadowJob, hooks: ShadowHooks, *, max_rows: int) -> None:
        self.job = job
        self._hooks = hooks
        self._max_rows = max_rows
        self._queue: deque[Served] = deque()
        self._rows = 0
        self._wake = threading.Condition()
        self._stopping = False
        self._answered = False
        self.ready = threading.Event()
        self._process: SpawnProcess | None = None
        self._thread = threading.Thread(target=self._run, name=f"shadow-{job.config.name}", daemon=True)

    def start(self) -> None:
        """Start the thread; it starts the process."""
        self._thread.start()

    def offer(self, served: Served) -> bool:
        """Hand in what the champion answered; False when it was dropped."""
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
            self._hooks.dropped(served.rows.count)
        return not dropped

    @property
    def waiting_rows(self) -> int:
        """Rows that the process has not got round to."""
        return self._rows

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process is not None else None

    def stop(self, *, wait: float = 2.0) -> None:
        """Stop the process; what still waits is dropped and counted."""
        with self._wake:
            self._stopping = True
            left, self._rows = self._rows, 0
            self._queue.clear()
            self._wake.notify_all()
        if left:
            self._hooks.dropped(left)
        if wait and self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(wait)
        process = self._process
        if process is not None and process.is_alive():
            process.kill()

    def _run(self) -> None:
        losses = 0
        while not self._stopping:
            self._answered = False
            try:
                self._serve()
            except _Lost as error:
                if self._stopping:
                    return
                losses = 1 if self._answered else losses + 1
                if losses >= _MAX_LOSSES:
                    self._stopping = True
                    self._hooks.failed(f"its shadow process ended {losses} times in a row: {error}")
                    return
                logger.warning(
                    "the shadow of %s was lost and is started again: %s", self.job.config.name, error
                )
                self._hooks.restarted()
                with self._wake:
                    if not self._stopping:
                        self._wake.wait_for(lambda: self._stopping, _PAUSES[min(losses, len(_PAUSES)) - 1])
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
            state, sentence = self._receive(ours, _LOAD_SECONDS)
            if state == "failed":
                self._stopping = True
                self._hooks.failed(sentence)
                return
            self.ready.set()
            while batch := self._take():
                self._answer(ours, batch)
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

    def _answer(self, connection: Connection, batch: list[Served]) -> None:
        try:
            connection.send([served.rows for served in batch])
            results = self._receive(connection, _ANSWER_SECONDS)
        except (_Lost, OSError) as error:
            self._hooks.dropped(sum(served.rows.count for served in batch))
            raise _Lost(str(error)) from error
        self._answered = True
        self._hooks.answered(batch, results)

    def _receive(self, connection: Connection, seconds: float) -> Any:
        end = time.monotonic() + seconds
        try:
            while not connection.poll(0.25):
                if self._stopping:
                    raise _Lost("stopping")
                late = time.monotonic() - end
                if late > _STARVED_SECONDS or (late > 0 and not self._wants_to_run()):
                    msg = f"no answer within {seconds:g} s"
                    raise _Lost(msg)
            return connection.recv()
        except (EOFError, OSError) as error:
            raise _Lost("the process ended") from error

    def _wants_to_run(self) -> bool:
        """Whether the process is at work, or would be if the machine had time for it."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return False
        return stat.rpartition(") ")[2].startswith("R")

    def _take(self) -> list[Served]:
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
