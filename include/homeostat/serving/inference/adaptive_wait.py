"""Decide whether the event loop waits for a predict call, from the duration of recent calls."""

from __future__ import annotations

#: Seconds that the event loop waits for a predict call at most.
LOOP_WAIT_SECONDS = 0.005

# One or two late calls may be chance (another thread was busy); three within a few calls are not.
_LATE_PENALTY, _MAX_PENALTY = 8, 18
#: Batches until a larger wait is tried again: doubled after each failure, up to the second number.
_RETRY_AFTER, _MAX_RETRY_AFTER = 32, 4096


class AdaptiveWait:
    """Learns how many rows a version predicts within :data:`LOOP_WAIT_SECONDS`.

    Threads compete for Python's lock: a model that predicts in half a millisecond takes several while the
    event loop runs as well. So the loop blocks while such a call runs, for :data:`LOOP_WAIT_SECONDS` at most.
    When calls keep exceeding that, the batch size to wait for is halved, down to none. After a number of
    batches it is doubled again; that number grows with each failure.

    Parameters
    ----------
    rows
        Largest batch to wait for at first.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._penalty = 0
        self._retry_after = _RETRY_AFTER
        self._until_retry = _RETRY_AFTER

    def worth_waiting(self, rows: int) -> bool:
        """Return whether to wait for a batch of this size."""
        if rows > self.rows:
            self._until_retry -= 1
            if self._until_retry <= 0:
                self._until_retry = self._retry_after
                self.rows = max(1, 2 * self.rows)
        return rows <= self.rows

    def in_time(self, rows: int) -> None:
        """Record that a batch ended while the loop waited."""
        self._penalty = max(0, self._penalty - 1)
        if 2 * rows > self.rows:
            self._retry_after = _RETRY_AFTER

    def late(self, rows: int) -> None:
        """Record that a batch took longer than the loop waited."""
        self._penalty += _LATE_PENALTY
        if self._penalty < _MAX_PENALTY:
            return
        self._penalty = 0
        self.rows = rows // 2
        self._until_retry = self._retry_after
        self._retry_after = min(2 * self._retry_after, _MAX_RETRY_AFTER)
