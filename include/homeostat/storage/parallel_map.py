"""Many small reads of the Store at a time: each waits for the network far longer than it works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Asked = TypeVar("Asked")
Given = TypeVar("Given")

#: Fewer than the connections that a client of S3 keeps.
READERS = 8


def side_by_side(ask: Callable[[Asked], Given], keys: Sequence[Asked]) -> list[Given]:
    """What ``ask`` gives for each key, in their order; what it raises for the first that fails is raised."""
    if len(keys) < 2:
        return [ask(key) for key in keys]
    with ThreadPoolExecutor(min(READERS, len(keys))) as pool:
        return list(pool.map(ask, keys))
