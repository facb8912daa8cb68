"""The local journal: rows are appended here first, and deleted when their chunk is in the store.

    <state>/journal/<gateway>/predictions/00000001.seg

A segment is a sequence of frames: length, CRC-32, payload. The first payload holds the number of earlier rows
per model; each further one holds the rows of one model as columns, in JSON. Data that ``write`` passed to the
kernel survives kill -9 of the process; data that ``fdatasync`` confirmed survives a power loss too.
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
    """A segment as read; ``before`` counts the rows of earlier ones, ``torn`` the truncated records."""

    sequence: int
    before: Mapping[str, int]
    records: tuple[Record, ...]
    torn: int

    def by_model(self) -> dict[str, list[Record]]:
        """Return the records of each model, in order."""
        found: dict[str, list[Record]] = {}
        for record in self.records:
            found.setdefault(record.model, []).append(record)
        return found


def quarantine_records(path: Path, head: Mapping[str, Any], records: Sequence[Record]) -> None:
    """Keep records that cannot be written to the store, for inspection; an existing file is overwritten."""
    payloads = [orjson.dumps(head), *(packed(r.model, r.rows, r.columns) for r in records)]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(map(_framed, payloads)))


def quarantine_header(path: Path) -> dict[str, Any]:
    """Return the ``head`` given to :func:`quarantine_records`; {} when the file is truncated."""
    found: dict[str, Any] = next(
        (orjson.loads(payload) for payload in _complete_payloads(path.read_bytes())), {}
    )
    return found


def packed(model: str, rows: int, columns: Mapping[str, Any]) -> bytes:
    """Return a record's payload; raises TypeError for values that JSON cannot express."""
    return orjson.dumps({"model": model, "rows": rows, "columns": columns}, option=orjson.OPT_SERIALIZE_NUMPY)


def read_segment(path: Path) -> Segment:
    """Read a segment up to the first incomplete record: data behind a torn record cannot be trusted."""
    data = path.read_bytes()
    payloads = list(_complete_payloads(data))
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


def _complete_payloads(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + _FRAME.size <= len(data):
        length, checksum = _FRAME.unpack_from(data, at)
        payload = data[at + _FRAME.size : at + _FRAME.size + length]
        if len(payload) < length or zlib.crc32(payload) != checksum:
            return
        yield payload
        at += _FRAME.size + length


def write_all(handle: int, data: bytes) -> None:
    """Write every byte; after an OSError (a full disk, for instance) some may have been written."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


class Journal:
    """The segments of one log, written by one process. Not thread-safe: callers hold a lock.

    Parameters
    ----------
    folder
        Returns the process's folder; raises OSError while it cannot be created.
    log
        The log's folder below it.
    """

    def __init__(self, folder: Callable[[], Path], log: str) -> None:
        self._folder = folder
        self._log = log
        self._handle = -1
        self._path = Path()
        self._size = 0
        self._name_synced = False
        self._numbers = count(1)
        self._opening = threading.Lock()
        self._spare: tuple[Path, int] | None = None
        self._before: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        #: Complete segments, oldest first, with their rows by model.
        self.sealed: deque[tuple[Path, Counter[str]]] = deque()

    def append(self, records: Sequence[tuple[str, int, bytes]]) -> None:
        """Write ``(model, rows, payload)`` records to the open segment, all or none.

        Raises
        ------
        OSError
            None was written; a partial write is truncated again.
        """
        data = b"".join(_framed(payload) for _, _, payload in records)
        if self._handle < 0:
            self._begin(data)
        else:
            try:
                write_all(self._handle, data)
            except OSError:
                self._truncate()
                raise
        self._size += len(data)
        for model, rows, _ in records:
            self._rows[model] += rows

    def sync(self) -> None:
        """Wait until everything appended is on disk; raises OSError when that fails."""
        if self._handle < 0:
            return
        os.fdatasync(self._handle)
        if not self._name_synced:
            _sync_folder(self._path.parent)
            self._name_synced = True

    def rotate(self) -> None:
        """Seal the open segment; the next record starts a new one."""
        if self._handle < 0:
            return
        os.close(self._handle)
        self._handle = -1
        self.sealed.append((self._path, self._rows))
        self._before += self._rows
        self._rows = Counter()

    def prepare_segment(self) -> None:
        """Create the next segment's file in advance: a busy file system can take long to create one.

        One thread may call this in parallel with :meth:`append`.
        """
        with self._opening, suppress(OSError):  # an error will show again when the file is needed
            if self._spare is None:
                self._spare = self._open()

    def close(self) -> None:
        """Close every file."""
        self.rotate()
        spare, self._spare = self._spare, None
        if spare is not None:
            os.close(spare[1])

    def _open(self) -> tuple[Path, int]:
        folder = self._folder() / self._log
        folder.mkdir(exist_ok=True)
        path = folder / f"{next(self._numbers):08d}{SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        return path, os.open(path, flags, 0o640)

    def _begin(self, data: bytes) -> None:
        with self._opening:  # segments are numbered in the order of use
            spare, self._spare = self._spare, None
            path, handle = spare or self._open()
        head = _framed(orjson.dumps({"kind": self._log, "before": self._before}))
        try:
            write_all(handle, head + data)
        except OSError:
            os.close(handle)
            with suppress(OSError):
                path.unlink()
            raise
        self._handle, self._path, self._size, self._name_synced = handle, path, len(head), False

    def _truncate(self) -> None:
        try:
            os.ftruncate(self._handle, self._size)
        except OSError:  # the reader stops at the torn record
            self.rotate()


def _sync_folder(folder: Path) -> None:
    """Sync a folder, so that a new file's name survives a power loss too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
