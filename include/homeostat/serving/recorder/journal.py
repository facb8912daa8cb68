"""The local journal: rows are appended here first, and leave it when their chunk is in the store.

    <state>/journal/<gateway>/predictions/00000001.seg

A segment is a row of frames: length, CRC-32, payload. The first payload says which rows of each model went
before it; each further one holds the rows of one model as columns, in JSON. What was handed to the kernel
by ``write`` survives kill -9 of the process; what ``fdatasync`` confirmed survives the machine's power too.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import orjson

_FRAME = struct.Struct("<II")
SUFFIX = ".seg"


@dataclass(frozen=True, slots=True)
class Record:
    """Some rows of one model: ``columns`` as their log packed them."""

    model: str
    rows: int
    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as found; ``before`` counts the rows of earlier ones, ``torn`` the records cut short."""

    sequence: int
    before: Mapping[str, int]
    records: tuple[Record, ...]
    torn: int

    def by_model(self) -> dict[str, list[Record]]:
        """The records of each model, in order."""
        found: dict[str, list[Record]] = {}
        for record in self.records:
            found.setdefault(record.model, []).append(record)
        return found


def aside(path: Path, head: Mapping[str, Any], records: Sequence[Record]) -> None:
    """Keep records that cannot be written where a person may look at them; a name is written over."""
    payloads = [orjson.dumps(head), *(packed(r.model, r.rows, r.columns) for r in records)]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(map(_framed, payloads)))


def aside_head(path: Path) -> dict[str, Any]:
    """What :func:`aside` was told; {} when the file is torn."""
    found: dict[str, Any] = next((orjson.loads(payload) for payload in _whole(path.read_bytes())), {})
    return found


def packed(model: str, rows: int, columns: Mapping[str, Any]) -> bytes:
    """A record's payload; raises TypeError for what JSON cannot say."""
    return orjson.dumps({"model": model, "rows": rows, "columns": columns}, option=orjson.OPT_SERIALIZE_NUMPY)


def read_segment(path: Path) -> Segment:
    """Read a segment up to the first record that is not whole: nothing behind a torn one can be trusted."""
    data = path.read_bytes()
    payloads = list(_whole(data))
    used = sum(_FRAME.size + len(payload) for payload in payloads)
    head = orjson.loads(payloads[0]) if payloads else {}
    return Segment(
        int(path.stem),
        head.get("before", {}),
        tuple(Record(**orjson.loads(payload)) for payload in payloads[1:]),
        int(used < len(data)),
    )


def _framed(payload: bytes) -> bytes:
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _whole(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + _FRAME.size <= len(data):
        length, checksum = _FRAME.unpack_from(data, at)
        payload = data[at + _FRAME.size : at + _FRAME.size + length]
        if len(payload) < length or zlib.crc32(payload) != checksum:
            return
        yield payload
        at += _FRAME.size + length


def write_all(handle: int, data: bytes) -> None:
    """Write every byte; OSError (disk full, for instance) may leave some of them."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


class Journal:
    """The segments of one log, written by one process; its callers take turns.

    Parameters
    ----------
    home
        Gives the process's folder; raises OSError while there is none.
    kind
        The log's folder below it.
    """

    def __init__(self, home: Callable[[], Path], kind: str) -> None:
        self._home = home
        self._kind = kind
        self._handle = -1
        self._path = Path()
        self._size = 0
        self._named = False
        self._numbers = count(1)
        self._opening = threading.Lock()
        self._spare: tuple[Path, int] | None = None
        self._before: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        #: Segments that are complete, oldest first, with their rows by model.
        self.sealed: deque[tuple[Path, Counter[str]]] = deque()

    def append(self, records: Sequence[tuple[str, int, bytes]]) -> None:
        """Hand ``(model, rows, payload)`` records to the kernel, all or none.

        Raises
        ------
        OSError
            None was taken; what was half written is cut off again.
        """
        data = b"".join(_framed(payload) for _, _, payload in records)
        if self._handle < 0:
            self._begin(data)
        else:
            try:
                write_all(self._handle, data)
            except OSError:
                self._cut_back()
                raise
        self._size += len(data)
        for model, rows, _ in records:
            self._rows[model] += rows

    def sync(self) -> None:
        """Wait until everything appended is on the disk; raises OSError when the disk refuses."""
        if self._handle < 0:
            return
        os.fdatasync(self._handle)
        if not self._named:
            _sync_name(self._path.parent)
            self._named = True

    def cut(self) -> None:
        """Seal the open segment; the next record begins another."""
        if self._handle < 0:
            return
        os.close(self._handle)
        self._handle = -1
        self.sealed.append((self._path, self._rows))
        self._before += self._rows
        self._rows = Counter()

    def prepare(self) -> None:
        """Open the file of the segment after this one: a busy file system can take long over a new name.

        Called beside :meth:`append`, by one thread.
        """
        with self._opening, suppress(OSError):  # it will be said when it is needed
            if self._spare is None:
                self._spare = self._open()

    def close(self) -> None:
        """Let go of every file."""
        self.cut()
        spare, self._spare = self._spare, None
        if spare is not None:
            os.close(spare[1])

    def _open(self) -> tuple[Path, int]:
        folder = self._home() / self._kind
        folder.mkdir(exist_ok=True)
        path = folder / f"{next(self._numbers):08d}{SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        return path, os.open(path, flags, 0o640)

    def _begin(self, data: bytes) -> None:
        with self._opening:  # numbers follow one another in the order of use
            spare, self._spare = self._spare, None
            path, handle = spare or self._open()
        head = _framed(orjson.dumps({"kind": self._kind, "before": self._before}))
        try:
            write_all(handle, head + data)
        except OSError:
            os.close(handle)
            with suppress(OSError):
                path.unlink()
            raise
        self._handle, self._path, self._size, self._named = handle, path, len(head), False

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._handle, self._size)
        except OSError:  # its reader stops where the torn record begins
            self.cut()


def _sync_name(folder: Path) -> None:
    """A file that is synced is no use when its name is not."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
