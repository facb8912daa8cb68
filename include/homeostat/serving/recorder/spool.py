"""Rows on their way to the store: counted, journaled, written in numbered chunks, each once, or lost.

A chunk is one segment of the journal: it keeps its number and its content until it is written, so that a
write that was done although it seemed to fail is repeated onto the same keys with the same bytes, by this
process or by the next one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from homeostat.config.errors import Unavailable
from homeostat.serving.recorder.counters import Odometer
from homeostat.serving.recorder.journal import Journal, packed
from homeostat.serving.recorder.upload import Entry, Kind, ship

logger = logging.getLogger(__name__)

#: Rows that are held in memory while the journal cannot be written; more are lost.
HELD_ROWS = 20_000
#: A log that lost rows counts as losing for so long.
LOSING_SECONDS = 10.0

#: Rows that wait longer than this for the journal are handed over by whoever brings the next one.
LATE_SECONDS = 0.06
#: A disk that refused is asked again after so long.
RETRY_SECONDS = 1.0

_Waiting = asyncio.Future[bool]
#: A model, what was taken in for it, how many rows that is, and who waits until it is on the disk.
_Taken = tuple[str, Entry, int, _Waiting | None]


@dataclass(frozen=True, slots=True)
class Flushed:
    """What one flush did: rows written, rows still kept, rows lost since the start, and what failed."""

    written: int
    kept: int
    lost: int
    error: str = ""


class Spool(Generic[Entry]):
    """Takes rows in from any thread, and keeps them until the store has them.

    Parameters
    ----------
    home
        Gives this process's folder for the journal; OSError while there is none.
    keep_rows
        How many rows are kept while the store is away.
    asked
        Set when somebody waits for :meth:`sync`.
    """

    def __init__(
        self,
        kind: Kind[Entry],
        home: Callable[[], Path],
        counts: Odometer,
        models: Iterable[str],
        keep_rows: int,
        *,
        asked: threading.Event | None = None,
    ) -> None:
        self.kind = kind
        self.name = kind.name
        self._counts = counts
        self._lock = counts.lock
        self._place = {model: counts.place(f"{kind.folder}/{model}/counted") for model in models}
        self._keep_rows = self._room = keep_rows
        self._asked = asked or threading.Event()
        self._journal = Journal(home, kind.folder)
        self._pending: list[_Taken[Entry]] = []
        self._unsynced: list[_Waiting] = []
        self._journaling = threading.Lock()
        self._syncing = threading.Lock()
        self._flushing = threading.Lock()
        self._since = 0.0
        self._retry_at = self._lost_at = float("-inf")
        self.kept = 0
        self.written = 0
        self.lost_by: Counter[str] = Counter()
        self.journal_error = ""
        self.longest_wait = 0.0

    # Taking in

    def add(self, model: str, entry: Entry, rows: int) -> bool:
        """Count rows and take them in; False when there was no room, and they are lost.

        The journal has them after the next :meth:`commit`. When whoever commits is late, as a thread can
        be beside busy ones, the caller does it: the promise holds for as long as answers are given.
        """
        now = time.monotonic()
        with self._lock:
            self._counts.add(self._place[model], rows)
            if self.kept + rows > self._room:
                self._lose(model, rows)
                return False
            if not self._pending:
                self._since = now
            self._pending.append((model, entry, rows, None))
            self.kept += rows
        if now - self._since > LATE_SECONDS and self._journaling.acquire(blocking=False):
            try:
                self._commit()
            finally:
                self._journaling.release()
        return True

    def keep(self, model: str, entry: Entry, rows: int) -> _Waiting:
        """Take rows in that must be on the disk before anyone is told; to be awaited on an event loop.

        True when they are there, False when they were refused: then they are not counted either.
        """
        done: _Waiting = asyncio.get_running_loop().create_future()
        with self._lock:
            if self.kept + rows > self._room:
                done.set_result(False)
                return done
            self._counts.add(self._place[model], rows)
            if not self._pending:
                self._since = time.monotonic()
            self._pending.append((model, entry, rows, done))
            self.kept += rows
        self._asked.set()
        return done

    @property
    def lost(self) -> int:
        """Rows lost since the start."""
        return sum(self.lost_by.values())

    @property
    def losing(self) -> bool:
        """Whether rows are not being recorded right now: what happens meanwhile is no evidence."""
        return bool(self.journal_error) or time.monotonic() - self._lost_at < LOSING_SECONDS

    def _lose(self, model: str, rows: int) -> None:
        self.lost_by[model] += rows
        self._lost_at = time.monotonic()

    # To the journal

    def commit(self) -> None:
        """Hand what was taken in to the journal. Never raises: async rows are held, others refused."""
        with self._journaling:
            self._commit()

    def _commit(self) -> None:
        with self._lock:
            since, taken = self._since, self._pending
            self._pending = []
        if taken:
            self._append(taken, time.monotonic())
            self.longest_wait = max(self.longest_wait, time.monotonic() - since)

    def sync(self) -> None:
        """Commit, wait for the disk once for all that wait, and tell them."""
        with self._syncing:
            self.commit()
            with self._journaling:
                waiting, self._unsynced = self._unsynced, []
            if waiting:
                _tell(waiting, answer=self._on_disk())

    def _on_disk(self) -> bool:
        try:
            self._journal.sync()
        except OSError as error:
            self._fails(error)
            return False
        return True

    def _append(self, taken: list[_Taken[Entry]], now: float) -> None:
        bad: list[_Taken[Entry]] = []
        if now >= self._retry_at:
            try:
                records = [each for part in _by_model(taken) for each in self._records(part, bad)]
                if records:
                    self._journal.append(records)
            except OSError as error:
                self._fails(error)
            else:
                self._mended()
                self._unsynced += [each[3] for each in taken if each[3] is not None and each not in bad]
                self._refuse(bad)
                return
        with self._lock:
            self._since = time.monotonic()  # what a full disk holds is not late: it is lost to kill -9
            self._pending = [each for each in taken if each[3] is None] + self._pending
            self._room = min(self._room, self.kept + HELD_ROWS)
        self._refuse([each for each in taken if each[3] is not None])

    def _records(self, part: list[_Taken[Entry]], bad: list[_Taken[Entry]]) -> list[tuple[str, int, bytes]]:
        model, rows = part[0][0], sum(each[2] for each in part)
        try:
            return [(model, rows, packed(model, rows, self.kind.pack(model, [each[1] for each in part])))]
        except Exception as error:  # noqa: BLE001  # whatever an entry is made of
            if len(part) > 1:  # one bad entry must not take its neighbours along
                return [record for each in part for record in self._records([each], bad)]
            logger.error("%s: %d rows of %s cannot be written: %r", self.name, rows, model, error)  # noqa: TRY400  # no rows in a log
            bad += part
            return []

    def _refuse(self, taken: Sequence[_Taken[Entry]]) -> None:
        """Whoever waits hears no, and counts as not served; nobody waits for the others, which are lost."""
        with self._lock:
            for model, _, rows, done in taken:
                self.kept -= rows
                if done is None:
                    self._lose(model, rows)
                else:
                    self._counts.add(self._place[model], -rows)
        _tell([done for *_, done in taken if done is not None], answer=False)

    def _fails(self, error: OSError) -> None:
        if not self.journal_error:
            logger.error("%s: the journal cannot be written: %s", self.name, error)
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self.journal_error = (
            f"{self.name}: the journal cannot be written ({error.strerror or error}); "
            "free the disk below the state folder"
        )

    def _mended(self) -> None:
        if self.journal_error:
            logger.warning("%s: the journal is written again", self.name)
            self.journal_error = ""
            self._room = self._keep_rows

    # To the store

    def flush(self) -> Flushed:
        """Write everything taken in so far. Never raises: what fails is kept, or counted as lost."""
        with self._flushing:
            self._seal()
            if self._journal.sealed:
                self._journal.prepare()
            written, error = 0, self.journal_error
            while self._journal.sealed:
                path, rows = self._journal.sealed[0]
                try:
                    lost = ship(path, self.kind, self._counts, rows)
                except (Unavailable, OSError) as failure:
                    error = (
                        f"{self.name}: the store does not answer ({type(failure).__name__}); rows are kept"
                    )
                    logger.warning("%s: %s", error, failure)
                    break
                self._journal.sealed.popleft()
                done = sum(rows.values()) - sum(lost.values())
                written += done
                with self._lock:
                    for model, count in lost.items():
                        self._lose(model, count)
                    self.written += done
                    self.kept -= sum(rows.values())
            return Flushed(written, self.kept, self.lost, error)

    def _seal(self) -> None:
        self.commit()
        with self._syncing, self._journaling:
            waiting, self._unsynced = self._unsynced, []
            if waiting:
                _tell(waiting, answer=self._on_disk())
            self._journal.cut()

    def prepare(self) -> None:
        """Make the first rows' way short."""
        with self._flushing:
            self._journal.prepare()

    def end(self) -> None:
        """Nothing comes any more: rows that no journal would take are lost."""
        with self._flushing, self._journaling:
            self._journal.close()
        with self._lock:
            for model, _, rows, _ in self._pending:
                self._lose(model, rows)
                self.kept -= rows
            self._pending.clear()


def _by_model(taken: Sequence[_Taken[Entry]]) -> Iterable[list[_Taken[Entry]]]:
    found: dict[str, list[_Taken[Entry]]] = {}
    for each in taken:
        found.setdefault(each[0], []).append(each)
    return found.values()


def _tell(waiting: Sequence[_Waiting], *, answer: bool) -> None:
    loops: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for done in waiting:
        loops.setdefault(done.get_loop(), []).append(done)
    for loop, group in loops.items():
        with suppress(RuntimeError):  # the loop has ended, and its requests with it
            loop.call_soon_threadsafe(_resolve, group, answer)


def _resolve(waiting: Sequence[_Waiting], answer: bool) -> None:  # noqa: FBT001  # called by the loop
    for done in waiting:
        if not done.done():  # the request may have been given up
            done.set_result(answer)
