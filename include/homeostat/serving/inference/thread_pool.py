"""Worker threads that outlive a call which never returns: another thread takes the place of its own.

A thread cannot be killed. What a standard pool would lose for good, with every request behind it, is
replaced here, a bounded number of times. The threads are daemons, so that such a call does not keep the
process from ending either.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

#: Threads that may hang at a time before no more are put in their place.
MOST_HUNG = 32

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One call: what was called, and with what."""

    function: Callable[..., Any]
    args: tuple[Any, ...]


@dataclass(slots=True, eq=False)
class _Worker:
    call: Call | None = None
    begun: float = 0.0
    written_off: bool = False


_Task = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Pool(Executor):
    """A fixed number of threads that work, beside those that hang.

    Parameters
    ----------
    patience
        Seconds after which a call is taken to hang.
    """

    def __init__(self, threads: int, name: str, *, patience: float) -> None:
        self._threads = threads
        self._name = name
        self._patience = patience
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._workers: set[_Worker] = set()
        self._lock = threading.Lock()
        self._serial = itertools.count()
        self._closed = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Queue a call; RuntimeError after the shutdown."""
        if self._closed:
            msg = f"the pool {self._name} was shut down"
            raise RuntimeError(msg)
        if not self._workers:  # made where it is used: threads do not survive a fork
            with self._lock:
                for _ in range(self._threads - len(self._workers)):
                    self._start()
        future: Future[T] = Future()
        self._tasks.put((future, fn, args, kwargs))
        return future

    def hanging(self) -> list[Call]:
        """The calls that hang at the moment."""
        with self._lock:
            return [w.call for w in self._workers if w.written_off and w.call is not None]

    def write_off(self) -> list[Call]:
        """Put a thread in the place of each that has hung since the last time; returns what those call."""
        late = time.monotonic() - self._patience
        found = []
        with self._lock:
            for worker in list(self._workers):
                call = worker.call
                if call is None or worker.written_off or worker.begun > late:
                    continue
                worker.written_off = True
                found.append(call)
                if sum(w.written_off for w in self._workers) <= MOST_HUNG and not self._closed:
                    self._start()
        return found

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  # Executor's signature
        """Take no more calls; ``wait`` is for the interface: nobody waits for a call that may hang."""
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
            future, function, args, kwargs = task
            if future.set_running_or_notify_cancel():
                worker.begun = time.monotonic()
                worker.call = Call(function, args)
                _run(future, function, args, kwargs)
                worker.call = None
            del task, future, function, args, kwargs  # nothing is kept alive while waiting
            if worker.written_off:
                break
        with self._lock:
            self._workers.discard(worker)


def _run(
    future: Future[Any], function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    try:
        result = function(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001  # whoever waits for the future gets it
        future.set_exception(error)
    else:
        future.set_result(result)
