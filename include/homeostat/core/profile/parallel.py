"""Work on columns in several threads: NumPy and Arrow release the interpreter lock while they compute."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Default upper limit of threads: other processes share the machine.
MAX_THREADS = 4
#: Below this many values a second thread costs more than it saves.
MIN_VALUES = 100_000


def run_parallel(
    work: Callable[[Item], Result], items: Iterable[Item], *, values: int, threads: int | None = None
) -> list[Result]:
    """Return ``[work(item) for item in items]``, computed in several threads where that pays.

    Parameters
    ----------
    values
        How many values all items hold together.
    threads
        How many threads; None takes the cores this process may use, at most ``MAX_THREADS``, or one
        thread for fewer than ``MIN_VALUES`` values.
    """
    if threads is None:
        threads = min(MAX_THREADS, available_cores()) if values >= MIN_VALUES else 1
    if threads <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads, thread_name_prefix="homeostat-count") as pool:
        return list(pool.map(work, items))


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
