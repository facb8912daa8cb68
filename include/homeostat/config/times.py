"""Convert every time to UTC; a time without a zone is in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def utc(moment: datetime) -> datetime:
    """Return the same instant in UTC; a naive time is in UTC already.

    Raises
    ------
    OverflowError
        In UTC it is outside of the years 1 to 9999.
    """
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_utc(text: str) -> datetime:
    """Parse an ISO 8601 text into an instant in UTC; without an offset it is in UTC already.

    Raises
    ------
    ValueError
        Not an ISO 8601 text.
    OverflowError
        As :func:`utc`.
    """
    return utc(datetime.fromisoformat(text))
