"""Batch the requests that wait for a version; a single request never waits for a batch.

There is no timer. Requests that the event loop reads in one pass form one batch, predicted in a worker
thread. For a fast version the event loop waits for the call (see :mod:`.adaptive_wait`). A slow one runs in
its thread while requests queue up, and the whole queue is the next batch.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError

from homeostat.hung_calls import AwaitedCall, ReplacingThreadPool
from homeostat.serving.inference.adaptive_wait import LOOP_WAIT_SECONDS, AdaptiveWait
from homeostat.serving.inference.scoring import PredictFailed, ScoredRequest, Scorer, score
from homeostat.serving.scoring_request import Rows

#: A request's rows, its future, and its deadline (on the loop's clock).
Waiting = tuple[Rows, "asyncio.Future[ScoredRequest]", float]
Results = list["ScoredRequest | PredictFailed"]

#: Passes of the event loop for which requests are gathered, as long as each pass brings more.
_PASSES = 8


class QueueFull(Exception):
    """Too many rows wait for this version."""


class Batcher:
    """Collects the requests of one version. Lives on the event loop; only :func:`score` runs in a thread."""

    def __init__(
        self,
        scorer: Scorer,
        pool: ReplacingThreadPool,
        *,
        max_batch_rows: int = 4096,
        max_waiting_rows: int = 20_000,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        self.scorer = scorer
        self._wait = AdaptiveWait(max_batch_rows)
        self._pool = pool
        self._max_batch_rows = max_batch_rows
        self._max_waiting_rows = max_waiting_rows
        self._on_batch = on_batch
        self._waiting: deque[Waiting] = deque()
        self._waiting_rows = 0
        self._running = False
        self._due = False

    def submit(self, rows: Rows, seconds: float = 3600.0) -> asyncio.Future[ScoredRequest]:
        """Queue one request's rows.

        The future ends with :class:`ScoredRequest`, with :class:`PredictFailed`, or with TimeoutError after
        ``seconds``.

        Raises
        ------
        Busy
            Too many rows wait already.
        """
        if self._waiting_rows and self._waiting_rows + rows.count > self._max_waiting_rows:
            raise QueueFull
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ScoredRequest] = loop.create_future()
        end = loop.time() + seconds
        self._waiting.append((rows, future, end))
        self._waiting_rows += rows.count
        if self._running:
            _time_out_at(loop, end, future)
        elif not self._due:
            self._due = True
            loop.call_soon(self._gather, 0, _PASSES)
        return future

    def clone(self) -> Batcher:
        """Return a batcher of the same version, for requests that must not lengthen this one's batches."""
        return Batcher(
            self.scorer,
            self._pool,
            max_batch_rows=self._max_batch_rows,
            max_waiting_rows=self._max_waiting_rows,
        )

    def share_wait(self, other: Batcher) -> None:
        """Let the loop wait for this version as long as for ``other``, so that their latencies compare."""
        self._wait = other._wait

    @property
    def waiting_rows(self) -> int:
        """Rows that wait for the running call to end."""
        return self._waiting_rows

    def _gather(self, seen: int, passes: int) -> None:
        """Predict as soon as a pass of the event loop brings no more requests."""
        rows = self._waiting_rows
        if rows == seen or rows >= self._max_batch_rows or not passes:
            self._start()
        else:
            asyncio.get_running_loop().call_soon(self._gather, rows, passes - 1)

    def _start(self) -> None:
        self._due = False
        batch, size = self._take()
        self._running = bool(batch)
        if not batch:
            return
        if self._on_batch is not None:
            self._on_batch(size)
        try:
            work = self._pool.start(score, self.scorer, [rows for rows, _, _ in batch])
        except RuntimeError:  # the pool was shut down
            self._deliver(batch, [PredictFailed("the gateway is stopping")] * len(batch))
            return
        loop = asyncio.get_running_loop()
        if self._wait.worth_waiting(size):
            if work.wait(LOOP_WAIT_SECONDS):
                self._wait.in_time(size)
                self._done(batch, work)
                return
            self._wait.late(size)
        for _, future, end in batch:
            _time_out_at(loop, end, future)
        work.when_ended(lambda: _call_soon(loop, self._done, batch, work))

    def _take(self) -> tuple[list[Waiting], int]:
        batch: list[Waiting] = []
        size = 0
        while self._waiting and (not batch or size + self._waiting[0][0].count <= self._max_batch_rows):
            waiting = self._waiting.popleft()
            self._waiting_rows -= waiting[0].count
            if waiting[1].done():  # cancelled, or timed out
                continue
            batch.append(waiting)
            size += waiting[0].count
        return batch, size

    def _done(self, batch: Sequence[Waiting], work: AwaitedCall) -> None:
        error = work.error
        if isinstance(error, CancelledError):
            error = PredictFailed("the gateway is stopping")
        self._deliver(batch, [error] * len(batch) if error is not None else work.result)

    def _deliver(self, batch: Sequence[Waiting], results: Sequence[ScoredRequest | BaseException]) -> None:
        for (_, future, _), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._running = False
        if self._waiting:
            self._due = True
            asyncio.get_running_loop().call_soon(self._gather, 0, _PASSES)


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: object) -> None:
    """Call a function on the loop, from another thread; nothing where the loop is closed."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)


def _time_out_at(loop: asyncio.AbstractEventLoop, end: float, future: asyncio.Future[ScoredRequest]) -> None:
    """Fail a future with TimeoutError at that time."""

    def time_out() -> None:
        if not future.done():
            future.set_exception(TimeoutError())

    handle = loop.call_at(end, time_out)
    future.add_done_callback(lambda _: handle.cancel())
