"""Whether the event loop may wait for a version: learnt from how long its calls took lately."""

from __future__ import annotations

#: Seconds that the event loop stands aside for a predict call.
ASIDE = 0.005

# Late once or twice is an accident (another thread was at work), three times within a few calls is not.
_LATE, _TOO_LATE = 8, 18
_REST, _LONGEST_REST = 32, 4096


class Pace:
    """How many rows a version answers within :data:`ASIDE` seconds.

    Threads that want Python's lock are in each other's way: a model that answers in half a millisecond
    takes several when the event loop works beside it. So the loop stands aside while such a call runs.
    A call that takes longer costs it :data:`ASIDE` and no more. When that keeps happening, half as many
    rows are waited for from then on, in the end none; after some batches more are tried again, and later
    and later as long as that goes wrong.

    Parameters
    ----------
    rows
        How many are waited for at first.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._late = 0
        self._rest = _REST
        self._left = _REST

    def quick(self, rows: int) -> bool:
        """Whether to wait for a batch of this size."""
        if rows > self.rows:
            self._left -= 1
            if self._left <= 0:
                self._left = self._rest
                self.rows = max(1, 2 * self.rows)
        return rows <= self.rows

    def in_time(self, rows: int) -> None:
        """A batch was answered while the loop stood aside."""
        self._late = max(0, self._late - 1)
        if 2 * rows > self.rows:
            self._rest = _REST

    def late(self, rows: int) -> None:
        """It was not."""
        self._late += _LATE
        if self._late < _TOO_LATE:
            return
        self._late = 0
        self.rows = rows // 2
        self._left = self._rest
        self._rest = min(2 * self._rest, _LONGEST_REST)
