"""Requests that wait together are predicted together; one alone never waits.

There is no timer. What the event loop finds to read in one go is one batch, predicted in a worker thread.
For a version that answers fast the loop stands aside (see :mod:`.adaptive_wait`); one that
takes longer is left to its thread, arrivals queue up meanwhile, and the whole queue goes as the next batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Executor, Future

from homeostat.serving.inference.adaptive_wait import ASIDE, Pace
from homeostat.serving.inference.scoring import PredictFailed, Scored, Scorer, score
from homeostat.serving.scoring_request import Rows

#: A request's rows, what they wait for, and when that is given up (on the loop's clock).
Waiting = tuple[Rows, "asyncio.Future[Scored]", float]
Results = list["Scored | PredictFailed"]

#: Passes of the event loop for which more requests are gathered, while each pass brings some.
_PASSES = 8


class Busy(Exception):
    """More rows wait for this version than may wait."""


class Batcher:
    """The collector of one version. Lives on the event loop; only :func:`score` runs in a thread."""

    def __init__(
        self,
        scorer: Scorer,
        pool: Executor,
        *,
        max_batch_rows: int = 4096,
        max_waiting_rows: int = 20_000,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        self.scorer = scorer
        self.pace = Pace(max_batch_rows)
        self._pool = pool
        self._max_batch_rows = max_batch_rows
        self._max_waiting_rows = max_waiting_rows
        self._on_batch = on_batch
        self._waiting: deque[Waiting] = deque()
        self._waiting_rows = 0
        self._running = False
        self._due = False

    def submit(self, rows: Rows, seconds: float = 3600.0) -> asyncio.Future[Scored]:
        """Queue one request's rows.

        The future ends with :class:`Scored`, or with :class:`PredictFailed`, or with TimeoutError when
        ``seconds`` are over.

        Raises
        ------
        Busy
            When too many rows wait already.
        """
        if self._waiting_rows and self._waiting_rows + rows.count > self._max_waiting_rows:
            raise Busy
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Scored] = loop.create_future()
        end = loop.time() + seconds
        self._waiting.append((rows, future, end))
        self._waiting_rows += rows.count
        if self._running:
            _give_up_at(loop, end, future)
        elif not self._due:
            self._due = True
            loop.call_soon(self._gather, 0, _PASSES)
        return future

    def apart(self) -> Batcher:
        """A collector of the same version for requests that must not lengthen this one's batches."""
        return Batcher(
            self.scorer,
            self._pool,
            max_batch_rows=self._max_batch_rows,
            max_waiting_rows=self._max_waiting_rows,
        )

    @property
    def waiting_rows(self) -> int:
        """Rows that wait for the call that runs now."""
        return self._waiting_rows

    def _gather(self, seen: int, passes: int) -> None:
        """Predict as soon as a pass of the event loop brings nothing more."""
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
            work = self._pool.submit(score, self.scorer, [rows for rows, _, _ in batch])
        except RuntimeError:  # the pool takes no more work
            self._deliver(batch, [PredictFailed("the gateway is stopping")] * len(batch))
            return
        loop = asyncio.get_running_loop()
        if self.pace.quick(size):
            if _ended(work, ASIDE):
                self.pace.in_time(size)
                self._done(batch, work)
                return
            self.pace.late(size)
        for _, future, end in batch:
            _give_up_at(loop, end, future)
        asyncio.wrap_future(work, loop=loop).add_done_callback(lambda done: self._done(batch, done))

    def _take(self) -> tuple[list[Waiting], int]:
        batch: list[Waiting] = []
        size = 0
        while self._waiting and (not batch or size + self._waiting[0][0].count <= self._max_batch_rows):
            waiting = self._waiting.popleft()
            self._waiting_rows -= waiting[0].count
            if waiting[1].done():  # its client left, or its time is over
                continue
            batch.append(waiting)
            size += waiting[0].count
        return batch, size

    def _done(self, batch: Sequence[Waiting], done: Future[Results] | asyncio.Future[Results]) -> None:
        error = PredictFailed("the gateway is stopping") if done.cancelled() else done.exception()
        self._deliver(batch, [error] * len(batch) if error is not None else done.result())

    def _deliver(self, batch: Sequence[Waiting], results: Sequence[Scored | BaseException]) -> None:
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


def _ended(work: Future[Results], seconds: float) -> bool:
    """Wait for a call; False when it takes longer."""
    try:
        work.exception(seconds)
    except TimeoutError:
        return False
    except CancelledError:
        return True
    return True


def _give_up_at(loop: asyncio.AbstractEventLoop, end: float, future: asyncio.Future[Scored]) -> None:
    """End a future with TimeoutError at that time."""

    def over() -> None:
        if not future.done():
            future.set_exception(TimeoutError())

    handle = loop.call_at(end, over)
    future.add_done_callback(lambda _: handle.cancel())
