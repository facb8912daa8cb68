"""Counters that survive kill -9: one 8-byte slot for each name, in a memory-mapped file.

A mapped page belongs to the kernel, so the file holds every count however the process ends. (A power loss
also loses the pages that the kernel had not written yet.)
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from array import array
from collections.abc import Sequence
from pathlib import Path

import orjson

_MAGIC = b"hmstodo1"
_LENGTH = struct.Struct("<8sQ")


class Counters:
    """Integers by name; in memory until :meth:`attach_file` moves them into a file.

    ``lock`` guards every change: callers hold it, so that counting a row and accepting it are one step.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.lock = threading.Lock()
        self._values: array[int] | memoryview = array("q", bytes(8 * len(self.names)))
        self._slot = {name: slot for slot, name in enumerate(self.names)}

    def slot(self, name: str) -> int:
        """Return the slot of a name; look it up once, so that counting is one addition."""
        return self._slot[name]

    def add(self, slot: int, amount: int) -> None:
        """Add to a counter; the caller holds ``lock``."""
        self._values[slot] += amount

    def set(self, name: str, value: int) -> None:
        """Set a counter; the caller holds ``lock``."""
        self._values[self._slot[name]] = value

    def get(self, name: str) -> int:
        """Return a counter; 0 for an unknown name."""
        slot = self._slot.get(name)
        return 0 if slot is None else self._values[slot]

    def attach_file(self, path: Path) -> None:
        """Move the counters into a new file; on OSError they stay in memory."""
        names = orjson.dumps(self.names)
        names += b" " * (-len(names) % 8)
        head = _LENGTH.pack(_MAGIC, len(names)) + names
        with path.open("xb") as file:  # written, not truncated to size: every block is allocated from now on
            file.write(head + bytes(8 * len(self.names)))
        values = _mapped(path, len(head))
        with self.lock:
            values[:] = memoryview(self._values)
            self._values = values

    @classmethod
    def open(cls, path: Path) -> Counters:
        """Map the counters that another process left.

        Raises
        ------
        OSError
            The file does not exist.
        ValueError
            The file holds no counters.
        """
        with path.open("rb") as file:
            magic, length = _LENGTH.unpack(file.read(_LENGTH.size).ljust(_LENGTH.size))
            if magic != _MAGIC:
                msg = f"{path}: not a gateway's counters file"
                raise ValueError(msg)
            counters = cls(orjson.loads(file.read(length)))
        counters._values = _mapped(path, _LENGTH.size + length)
        return counters


def _mapped(path: Path, offset: int) -> memoryview:
    handle = os.open(path, os.O_RDWR)
    try:
        return memoryview(mmap.mmap(handle, 0))[offset:].cast("q")
    finally:
        os.close(handle)
