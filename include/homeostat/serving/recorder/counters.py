"""Counts that survive kill -9: one 8-byte slot for each name, in a file mapped into memory.

A mapped page belongs to the kernel: what was counted is in the file however the process ends. (A machine
that loses power also loses the pages that the kernel had not written yet.)
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


class Odometer:
    """Whole numbers by name; in memory until :meth:`anchor` gives them a file.

    ``lock`` guards every change: who counts holds it, so that counting and taking in are one step.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.lock = threading.Lock()
        self._slots: array[int] | memoryview = array("q", bytes(8 * len(self.names)))
        self._place = {name: place for place, name in enumerate(self.names)}

    def place(self, name: str) -> int:
        """Where a name's count is; asked once, so that counting is one addition."""
        return self._place[name]

    def add(self, place: int, amount: int) -> None:
        """Count; the caller holds ``lock``."""
        self._slots[place] += amount

    def set(self, name: str, value: int) -> None:
        """Put a count to a value; the caller holds ``lock``."""
        self._slots[self._place[name]] = value

    def get(self, name: str) -> int:
        """A count; 0 for a name that is not kept."""
        place = self._place.get(name)
        return 0 if place is None else self._slots[place]

    def anchor(self, path: Path) -> None:
        """Move the counts into a new file; OSError leaves them in memory."""
        names = orjson.dumps(self.names)
        names += b" " * (-len(names) % 8)
        head = _LENGTH.pack(_MAGIC, len(names)) + names
        with path.open("xb") as file:  # written, not only made longer: every block is there from now on
            file.write(head + bytes(8 * len(self.names)))
        slots = _mapped(path, len(head))
        with self.lock:
            slots[:] = memoryview(self._slots)
            self._slots = slots

    @classmethod
    def open(cls, path: Path) -> Odometer:
        """Map the counts that another process left.

        Raises
        ------
        OSError
            There is no such file.
        ValueError
            It is not one of these.
        """
        with path.open("rb") as file:
            magic, length = _LENGTH.unpack(file.read(_LENGTH.size).ljust(_LENGTH.size))
            if magic != _MAGIC:
                msg = f"{path}: these are no counts of a gateway"
                raise ValueError(msg)
            made = cls(orjson.loads(file.read(length)))
        made._slots = _mapped(path, _LENGTH.size + length)
        return made


def _mapped(path: Path, offset: int) -> memoryview:
    handle = os.open(path, os.O_RDWR)
    try:
        return memoryview(mmap.mmap(handle, 0))[offset:].cast("q")
    finally:
        os.close(handle)
