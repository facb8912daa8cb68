"""Rows on their way to the store: counted, journaled, and written once in numbered chunks, or lost.

A chunk is one segment of the journal. It keeps its number and its content until it is written. A write that
succeeded although it seemed to fail is therefore repeated with the same keys and the same bytes, by this
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
from homeostat.serving.recorder.counters import Counters
from homeostat.serving.recorder.journal import Journal, packed
from homeostat.serving.recorder.upload import Entry, LogSpec, upload_segment

logger = logging.getLogger(__name__)

#: Rows held in memory while the journal cannot be written; further rows are lost.
HELD_ROWS = 20_000
#: A log that lost rows counts as dropping rows for this long.
DROPPING_SECONDS = 10.0

#: When rows wait longer than this for the journal, the thread that adds the next row commits them.
LATE_SECONDS = 0.06
#: After a write error the disk is tried again after this time.
RETRY_SECONDS = 1.0

_Waiter = asyncio.Future[bool]
#: Model, entry, its number of rows, and the future of a request that waits until they are on disk.
_Pending = tuple[str, Entry, int, _Waiter | None]


@dataclass(frozen=True, slots=True)
class FlushResult:
    """Rows written by one flush, rows still pending, rows lost since the start, and what failed."""

    written: int
    pending: int
    lost: int
    error: str = ""


class Spool(Generic[Entry]):
    """Accepts rows from any thread, and keeps them until the store has them.

    Parameters
    ----------
    folder
        Returns this process's journal folder; raises OSError while it cannot be created.
    keep_rows
        Rows kept while the store is away.
    sync_requested
        Set when a request waits for :meth:`sync`.
    """

    def __init__(
        self,
        spec: LogSpec[Entry],
        folder: Callable[[], Path],
        counters: Counters,
        models: Iterable[str],
        keep_rows: int,
        *,
        sync_requested: threading.Event | None = None,
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self._counters = counters
        self._lock = counters.lock
        self._slots = {model: counters.slot(f"{spec.folder}/{model}/counted") for model in models}
        self._keep_rows = self._max_pending = keep_rows
        self._sync_requested = sync_requested or threading.Event()
        self._journal = Journal(folder, spec.folder)
        self._pending: list[_Pending[Entry]] = []
        self._unsynced: list[_Waiter] = []
        self._journaling = threading.Lock()
        self._syncing = threading.Lock()
        self._flushing = threading.Lock()
        self._oldest_pending_at = 0.0
        self._retry_at = self._lost_at = float("-inf")
        self.pending_rows = 0
        self.written_rows = 0
        self.lost_by_model: Counter[str] = Counter()
        self.journal_error = ""
        self.longest_wait_seconds = 0.0

    # Adding rows

    def add(self, model: str, entry: Entry, rows: int) -> bool:
        """Count and accept rows; return False when there was no room and they are lost.

        The journal has them after the next :meth:`commit`. When the committing thread is late, because
        other threads keep it from running, the caller commits: served rows reach the journal in time.
        """
        now = time.monotonic()
        with self._lock:
            self._counters.add(self._slots[model], rows)
            if self.pending_rows + rows > self._max_pending:
                self._lose(model, rows)
                return False
            if not self._pending:
                self._oldest_pending_at = now
            self._pending.append((model, entry, rows, None))
            self.pending_rows += rows
        if now - self._oldest_pending_at > LATE_SECONDS and self._journaling.acquire(blocking=False):
            try:
                self._commit()
            finally:
                self._journaling.release()
        return True

    def add_durable(self, model: str, entry: Entry, rows: int) -> _Waiter:
        """Accept rows that must be on disk before the client gets a response; await the result on the loop.

        True when they are on disk, False when they were refused; refused rows are not counted as served.
        """
        done: _Waiter = asyncio.get_running_loop().create_future()
        with self._lock:
            if self.pending_rows + rows > self._max_pending:
                done.set_result(False)
                return done
            self._counters.add(self._slots[model], rows)
            if not self._pending:
                self._oldest_pending_at = time.monotonic()
            self._pending.append((model, entry, rows, done))
            self.pending_rows += rows
        self._sync_requested.set()
        return done

    @property
    def lost_rows(self) -> int:
        """Rows lost since the start."""
        return sum(self.lost_by_model.values())

    @property
    def dropping_rows(self) -> bool:
        """Whether rows are not being recorded right now; rollout evidence of this time is incomplete."""
        return bool(self.journal_error) or time.monotonic() - self._lost_at < DROPPING_SECONDS

    def _lose(self, model: str, rows: int) -> None:
        self.lost_by_model[model] += rows
        self._lost_at = time.monotonic()

    # To the journal

    def commit(self) -> None:
        """Append accepted rows to the journal. Never raises: on error rows are held, durable ones refused."""
        with self._journaling:
            self._commit()

    def _commit(self) -> None:
        with self._lock:
            oldest_at, pending = self._oldest_pending_at, self._pending
            self._pending = []
        if pending:
            self._append(pending, time.monotonic())
            self.longest_wait_seconds = max(self.longest_wait_seconds, time.monotonic() - oldest_at)

    def sync(self) -> None:
        """Commit, sync the disk once for all waiting requests, and resolve their futures."""
        with self._syncing:
            self.commit()
            with self._journaling:
                waiters, self._unsynced = self._unsynced, []
            if waiters:
                _resolve_waiters(waiters, on_disk=self._sync_journal())

    def _sync_journal(self) -> bool:
        try:
            self._journal.sync()
        except OSError as error:
            self._set_journal_error(error)
            return False
        return True

    def _append(self, pending: list[_Pending[Entry]], now: float) -> None:
        bad: list[_Pending[Entry]] = []
        if now >= self._retry_at:
            try:
                records = [record for group in _by_model(pending) for record in self._records(group, bad)]
                if records:
                    self._journal.append(records)
            except OSError as error:
                self._set_journal_error(error)
            else:
                self._clear_journal_error()
                self._unsynced += [each[3] for each in pending if each[3] is not None and each not in bad]
                self._refuse(bad)
                return
        self._hold(pending)

    def _hold(self, pending: list[_Pending[Entry]]) -> None:
        """Keep async rows in memory until the disk recovers, up to HELD_ROWS more; refuse durable ones."""
        with self._lock:
            # Held rows are not late: committing them earlier is impossible. A kill -9 loses them.
            self._oldest_pending_at = time.monotonic()
            self._pending = [each for each in pending if each[3] is None] + self._pending
            self._max_pending = min(self._max_pending, self.pending_rows + HELD_ROWS)
        self._refuse([each for each in pending if each[3] is not None])

    def _records(
        self, group: list[_Pending[Entry]], bad: list[_Pending[Entry]]
    ) -> list[tuple[str, int, bytes]]:
        """Pack entries of one model into a record; add entries that cannot be packed to ``bad``."""
        model, rows = group[0][0], sum(each[2] for each in group)
        try:
            return [(model, rows, packed(model, rows, self.spec.pack(model, [each[1] for each in group])))]
        except Exception as error:  # noqa: BLE001  # any content of an entry may fail to pack
            if len(group) > 1:  # one bad entry must not take its neighbours along
                return [record for each in group for record in self._records([each], bad)]
            logger.error("%s: %d rows of %s cannot be written: %r", self.name, rows, model, error)  # noqa: TRY400  # a traceback quotes rows
            bad += group
            return []

    def _refuse(self, refused: Sequence[_Pending[Entry]]) -> None:
        """Resolve waiting requests with False and uncount their rows; count all other rows as lost."""
        with self._lock:
            for model, _, rows, done in refused:
                self.pending_rows -= rows
                if done is None:
                    self._lose(model, rows)
                else:
                    self._counters.add(self._slots[model], -rows)
        _resolve_waiters([done for *_, done in refused if done is not None], on_disk=False)

    def _set_journal_error(self, error: OSError) -> None:
        if not self.journal_error:
            logger.error("%s: the journal cannot be written: %s", self.name, error)
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self.journal_error = (
            f"{self.name}: the journal cannot be written ({error.strerror or error}); "
            "free disk space below HOMEOSTAT_STATE"
        )

    def _clear_journal_error(self) -> None:
        if self.journal_error:
            logger.warning("%s: the journal is written again", self.name)
            self.journal_error = ""
            self._max_pending = self._keep_rows

    # To the store

    def flush(self) -> FlushResult:
        """Write all accepted rows to the store. Never raises: what fails is kept, or counted as lost."""
        with self._flushing:
            self._seal()
            if self._journal.sealed:
                self._journal.prepare_segment()
            written, error = 0, self.journal_error
            while self._journal.sealed:
                path, rows = self._journal.sealed[0]
                try:
                    lost = upload_segment(path, self.spec, self._counters, rows)
                except (Unavailable, OSError) as failure:
                    error = (
                        f"{self.name}: the store does not answer ({type(failure).__name__}); "
                        "rows are kept in the journal"
                    )
                    logger.warning("%s: %s", error, failure)
                    break
                self._journal.sealed.popleft()
                written += self._count_uploaded(rows, lost)
            return FlushResult(written, self.pending_rows, self.lost_rows, error)

    def _count_uploaded(self, rows: Counter[str], lost: Counter[str]) -> int:
        written = sum(rows.values()) - sum(lost.values())
        with self._lock:
            for model, count in lost.items():
                self._lose(model, count)
            self.written_rows += written
            self.pending_rows -= sum(rows.values())
        return written

    def _seal(self) -> None:
        self.commit()
        with self._syncing, self._journaling:
            waiters, self._unsynced = self._unsynced, []
            if waiters:
                _resolve_waiters(waiters, on_disk=self._sync_journal())
            self._journal.rotate()

    def prepare_segment(self) -> None:
        """Create the first segment's file ahead of the first rows."""
        with self._flushing:
            self._journal.prepare_segment()

    def close(self) -> None:
        """Close the journal; accepted rows that it could not take are lost."""
        with self._flushing, self._journaling:
            self._journal.close()
        with self._lock:
            for model, _, rows, _ in self._pending:
                self._lose(model, rows)
                self.pending_rows -= rows
            self._pending.clear()


def _by_model(pending: Sequence[_Pending[Entry]]) -> Iterable[list[_Pending[Entry]]]:
    found: dict[str, list[_Pending[Entry]]] = {}
    for each in pending:
        found.setdefault(each[0], []).append(each)
    return found.values()


def _resolve_waiters(waiters: Sequence[_Waiter], *, on_disk: bool) -> None:
    """Resolve futures on their own event loops, one call per loop."""
    loops: dict[asyncio.AbstractEventLoop, list[_Waiter]] = {}
    for done in waiters:
        loops.setdefault(done.get_loop(), []).append(done)
    for loop, group in loops.items():
        with suppress(RuntimeError):  # the loop has ended, and its requests with it
            loop.call_soon_threadsafe(_set_results, group, on_disk)


def _set_results(waiters: Sequence[_Waiter], on_disk: bool) -> None:  # noqa: FBT001  # positional: call_soon_threadsafe
    for done in waiters:
        if not done.done():  # the request may have been cancelled
            done.set_result(on_disk)
