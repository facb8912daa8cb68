"""The time, real or told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Now, timezone-aware UTC."""
        return datetime.now(UTC)


class FakeClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """The time that the clock was set to."""
        return self._now

    def advance(self, by: timedelta) -> datetime:
        """Move on by a duration (back, when it is negative) and return the new time."""
        self._now += by
        return self._now

    def set(self, to: datetime) -> None:
        """Set the clock."""
        self._now = to
