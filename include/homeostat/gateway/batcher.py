"""Requests that wait together are predicted together; one alone never waits.

While a version's predict call runs in a worker thread, arrivals queue up; when it is done, the whole
queue goes as one batch. There is no timer: an idle version answers at once, a busy one in larger batches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from homeostat.gateway.protocol import Rows
from homeostat.gateway.scoring import PredictFailed, Scored, Scorer, score

Waiting = tuple[Rows, "asyncio.Future[Scored]"]


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
        self._pool = pool
        self._max_batch_rows = max_batch_rows
        self._max_waiting_rows = max_waiting_rows
        self._on_batch = on_batch
        self._waiting: deque[Waiting] = deque()
        self._waiting_rows = 0
        self._running = False

    def submit(self, rows: Rows) -> asyncio.Future[Scored]:
        """Queue one request's rows; the future ends with :class:`Scored` or :class:`PredictFailed`.

        Raises
        ------
        Busy
            When too many rows wait already.
        """
        if self._waiting_rows and self._waiting_rows + rows.count > self._max_waiting_rows:
            raise Busy
        future: asyncio.Future[Scored] = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, future))
        self._waiting_rows += rows.count
        if not self._running:
            self._start()
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

    def _start(self) -> None:
        batch: list[Waiting] = []
        size = 0
        while self._waiting and (not batch or size + self._waiting[0][0].count <= self._max_batch_rows):
            rows, future = self._waiting.popleft()
            self._waiting_rows -= rows.count
            if future.cancelled():  # its client left, or its deadline passed
                continue
            batch.append((rows, future))
            size += rows.count
        if not batch:
            self._running = False
            return
        self._running = True
        if self._on_batch is not None:
            self._on_batch(size)
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._pool, score, self.scorer, [rows for rows, _ in batch])
        work.add_done_callback(lambda done: self._done(batch, done))

    def _done(self, batch: Sequence[Waiting], done: asyncio.Future[list[Scored | PredictFailed]]) -> None:
        error = PredictFailed("the gateway is stopping") if done.cancelled() else done.exception()
        results = [error] * len(batch) if error is not None else done.result()
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._start()
