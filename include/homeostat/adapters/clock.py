"""The system clock, and a fake for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware UTC."""
        return datetime.now(UTC)


class FakeClock:
    """A clock that moves only by :meth:`advance` and :meth:`set`."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the time that was set."""
        return self._now

    def advance(self, by: timedelta) -> datetime:
        """Advance by a duration (negative: backwards) and return the new time."""
        self._now += by
        return self._now

    def set(self, to: datetime) -> None:
        """Set the clock."""
        self._now = to
