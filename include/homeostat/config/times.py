"""One zone for every time: UTC, which is also what a time without a zone is taken to be in."""

from __future__ import annotations

from datetime import UTC, datetime


def utc(moment: datetime) -> datetime:
    """The same instant in UTC; a naive time is in UTC already.

    Raises
    ------
    OverflowError
        In UTC it lies outside of the years 1 to 9999.
    """
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_utc(text: str) -> datetime:
    """An ISO 8601 text as an instant in UTC; without an offset it is in UTC already.

    Raises
    ------
    ValueError
        It is no ISO 8601 text.
    OverflowError
        As :func:`utc`.
    """
    return utc(datetime.fromisoformat(text))
