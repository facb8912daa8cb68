"""Columns over threads: NumPy and Arrow let go of the interpreter while they work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")

#: A worker has neighbours: more threads than this are taken only where they are asked for.
MAX_THREADS = 4
#: Below this many values a second thread costs more than it brings.
WORTH_IT = 100_000


def spread(
    work: Callable[[Item], Found], items: Iterable[Item], *, values: int, threads: int | None = None
) -> list[Found]:
    """``[work(item) for item in items]``, on several threads where that pays.

    Parameters
    ----------
    values
        How many values there are in all items together.
    threads
        How many threads; None takes the cores this process may use, at most ``MAX_THREADS``, and one
        where there are fewer than ``WORTH_IT`` values.
    """
    if threads is None:
        threads = min(MAX_THREADS, _cores()) if values >= WORTH_IT else 1
    if threads <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads, thread_name_prefix="homeostat-count") as pool:
        return list(pool.map(work, items))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
