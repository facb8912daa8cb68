"""Rows on their way to the store: buffered, written in numbered chunks, each once, or counted as lost.

A chunk keeps its number and its content until it is written, so that a write that was done although it
seemed to fail is repeated onto the same keys with the same bytes.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from homeostat.config.errors import AlreadyExists, Unavailable

logger = logging.getLogger(__name__)

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class _Chunk(Generic[Entry]):
    model: str
    sequence: int
    entries: tuple[Entry, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Flushed:
    """What one flush did: rows written, rows still kept, rows lost since the start, and what failed."""

    written: int
    kept: int
    lost: int
    error: str = ""


class Spool(Generic[Entry]):
    """A bounded buffer in front of the store, fed from any thread.

    Parameters
    ----------
    write
        ``write(model, sequence, entries)``; Unavailable or OSError mean "try again", anything else
        means that these entries can never be written.
    keep_rows
        How many rows are kept while the store is away.
    """

    def __init__(
        self, name: str, write: Callable[[str, int, Sequence[Entry]], object], keep_rows: int
    ) -> None:
        self.name = name
        self._write = write
        self._keep_rows = keep_rows
        self._open: dict[str, list[Entry]] = {}
        self._open_rows: dict[str, int] = {}
        self._sealed: deque[_Chunk[Entry]] = deque()
        self._sequence = 0
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self.kept = 0
        self.written = 0
        self.lost = 0

    def add(self, model: str, entry: Entry, rows: int) -> bool:
        """Take rows in; False when there was no room, and they are lost."""
        with self._lock:
            if self.kept + rows > self._keep_rows:
                self.lost += rows
                return False
            self._open.setdefault(model, []).append(entry)
            self._open_rows[model] = self._open_rows.get(model, 0) + rows
            self.kept += rows
        return True

    def flush(self) -> Flushed:
        """Write everything taken in so far. Never raises: what fails is kept, or counted as lost."""
        with self._flushing:
            self._seal()
            written = 0
            error = ""
            while self._sealed and not error:
                chunk = self._sealed[0]
                try:
                    self._write(chunk.model, chunk.sequence, chunk.entries)
                except (Unavailable, OSError) as failure:
                    error = (
                        f"{self.name}: the store does not answer ({type(failure).__name__}); rows are kept"
                    )
                    logger.warning("%s: %s", error, failure)
                    break
                except AlreadyExists as failure:
                    self._give_up(chunk, failure)
                except Exception as failure:  # noqa: BLE001  # one bad chunk must not hold up all others
                    self._give_up(chunk, failure)
                else:
                    written += chunk.rows
                    with self._lock:
                        self.written += chunk.rows
                self._sealed.popleft()
                with self._lock:
                    self.kept -= chunk.rows
            return Flushed(written, self.kept, self.lost, error)

    def _seal(self) -> None:
        with self._lock:
            taken, self._open = self._open, {}
            rows, self._open_rows = self._open_rows, {}
        for model, entries in taken.items():
            self._sequence += 1
            self._sealed.append(_Chunk(model, self._sequence, tuple(entries), rows[model]))

    def _give_up(self, chunk: _Chunk[Entry], failure: Exception) -> None:
        logger.error("%s: %d rows of %s cannot be written: %r", self.name, chunk.rows, chunk.model, failure)
        with self._lock:
            self.lost += chunk.rows
