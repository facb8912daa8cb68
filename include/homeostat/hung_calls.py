"""A thread pool that replaces each thread whose call takes long or never returns.

Python cannot kill a thread. In a standard pool a call that hangs occupies its thread for good, and calls that
take long keep all others waiting; here another thread replaces it, up to a limit. All threads are daemons, so
a hung call does not block process exit.
Own code because no library in the lock does this: concurrent.futures, anyio and asyncio keep the hung thread.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

#: Default for how many threads may hang before no more are replaced.
MAX_HUNG = 32
#: A call that takes longer than these seconds has its thread replaced while other calls wait.
LONG_SECONDS = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A submitted call: the function and its arguments."""

    function: Callable[..., Any]
    args: tuple[Any, ...]


@dataclass(slots=True, eq=False)
class _Worker:
    call: Call | None = None
    began: float = 0.0
    deadline: float = 0.0
    hung: bool = False
    replaced: bool = False


class AwaitedCall:
    """A submitted call that one thread waits for, for a short time.

    A Future takes three times as long to hand over: its waiter wakes, and then waits for the lock that the
    other thread still holds. Here one lock is released once.
    """

    __slots__ = ("_callback", "_ended", "_unclaimed", "error", "result")

    def __init__(self) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self._ended = threading.Lock()
        self._ended.acquire()
        self._callback: Callable[[], None] | None = None
        self._unclaimed = [True]  # its pop is atomic: the callback is called once

    def wait(self, seconds: float) -> bool:
        """Wait for the end; return False when the call takes longer. To be called once."""
        return self._ended.acquire(timeout=seconds)

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once the call has ended, in the thread of the call or at once in this one."""
        self._callback = callback
        if self._ended.acquire(blocking=False):
            self._call_back()

    def set_running_or_notify_cancel(self) -> bool:
        """Return False when the call was cancelled before it began."""
        return self.error is None

    def set_result(self, result: Any) -> None:
        """End the call with a result."""
        self.result = result
        self._end()

    def set_exception(self, error: BaseException) -> None:
        """End the call with an error."""
        self.error = error
        self._end()

    def cancel(self) -> None:
        """End a call that has not begun."""
        self.set_exception(CancelledError())

    def _end(self) -> None:
        self._ended.release()
        if self._callback is not None:
            self._call_back()

    def _call_back(self) -> None:
        callback = self._callback
        try:
            self._unclaimed.pop()
        except IndexError:
            return
        if callback is not None:
            callback()


#: Future, function, arguments, keyword arguments, and seconds after which the call counts as hung.
_Task = tuple["Future[Any] | AwaitedCall", Callable[..., Any], tuple[Any, ...], dict[str, Any], float]


class ReplacingThreadPool(Executor):
    """A fixed number of working threads, in addition to those whose calls take long or hang.

    Parameters
    ----------
    hang_seconds
        Seconds after which a call counts as hung.
    max_hung
        Threads that may hang or take long at the same time and still be replaced.
    long_seconds
        A thread whose call takes longer is replaced as long as other calls wait.
    """

    def __init__(
        self,
        threads: int,
        name: str,
        *,
        hang_seconds: float,
        max_hung: int = MAX_HUNG,
        long_seconds: float = LONG_SECONDS,
    ) -> None:
        self._long_seconds = long_seconds
        self._threads = threads
        self._name = name
        self._hang_seconds = hang_seconds
        self._max_hung = max_hung
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._workers: set[_Worker] = set()
        self._lock = threading.Lock()
        self._serial = itertools.count()
        self._closed = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Queue a call; RuntimeError after the shutdown."""
        future: Future[T] = Future()
        self._enqueue((future, fn, args, kwargs, self._hang_seconds))
        return future

    def submit_with_limit(self, seconds: float, fn: Callable[..., T], /, *args: Any) -> Future[T]:
        """Queue a call that counts as hung after ``seconds``; RuntimeError after the shutdown."""
        future: Future[T] = Future()
        self._enqueue((future, fn, args, {}, seconds))
        return future

    def start(self, fn: Callable[..., Any], /, *args: Any) -> AwaitedCall:
        """Queue a call that the caller waits for; RuntimeError after the shutdown."""
        call = AwaitedCall()
        self._enqueue((call, fn, args, {}, self._hang_seconds))
        return call

    def hung_calls(self) -> list[Call]:
        """Return the calls that hang at the moment."""
        with self._lock:
            return [w.call for w in self._workers if w.hung and w.call is not None]

    def replace_hung(self) -> list[Call]:
        """Replace the threads that have hung since the last time, and return their calls.

        While calls wait, threads whose calls take long are replaced, too: callers of many functions share
        the threads, and the slow ones must not take all of them.
        """
        now = time.monotonic()
        found = []
        with self._lock:
            for worker in list(self._workers):
                call = worker.call
                if call is None:
                    continue
                if not worker.hung and worker.deadline <= now:
                    worker.hung = True
                    found.append(call)
                if worker.hung or (now - worker.began > self._long_seconds and not self._tasks.empty()):
                    self._replace(worker)
        return found

    def _replace(self, worker: _Worker) -> None:
        if worker.replaced or self._closed or sum(w.replaced for w in self._workers) >= self._max_hung:
            return
        worker.replaced = True
        self._start()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  # Executor's signature
        """Accept no more calls. ``wait`` is ignored: a hung call would block it."""
        del wait
        self._closed = True
        if cancel_futures:
            while True:
                try:
                    task = self._tasks.get_nowait()
                except Empty:
                    break
                if task is not None:
                    task[0].cancel()
        for _ in self._workers:
            self._tasks.put(None)

    def _enqueue(self, task: _Task) -> None:
        if self._closed:
            msg = f"thread pool '{self._name}' was shut down"
            raise RuntimeError(msg)
        if not self._workers:  # started at first use: threads do not survive a fork
            with self._lock:
                for _ in range(self._threads - len(self._workers)):
                    self._start()
        self._tasks.put(task)

    def _start(self) -> None:
        worker = _Worker()
        self._workers.add(worker)
        name = f"{self._name}_{next(self._serial)}"
        threading.Thread(target=self._work, args=(worker,), name=name, daemon=True).start()

    def _work(self, worker: _Worker) -> None:
        while True:
            task = self._tasks.get()
            if task is None:
                break
            future, function, args, kwargs, seconds = task
            if future.set_running_or_notify_cancel():
                worker.began = time.monotonic()
                worker.deadline = worker.began + seconds
                worker.call = Call(function, args)
                _run(future, function, args, kwargs)
                worker.call = None
            del task, future, function, args, kwargs  # an idle thread must not keep a request's rows alive
            with self._lock:
                worker.hung = False
                if worker.replaced:
                    break
        with self._lock:
            self._workers.discard(worker)


def _run(
    future: Future[Any] | AwaitedCall,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    try:
        result = function(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001  # the caller gets it from the future
        future.set_exception(error)
    else:
        future.set_result(result)
