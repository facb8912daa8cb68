"""Measure and check clock skew between this machine and a service.

Rows with timestamps in the future are quarantined, and AWS refuses requests that are 15 minutes off. An HTTP
response's Date header has whole seconds: on average it is half a second behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from homeostat.doctor.check import Finding, broken, format_span, ok, skipped, warning

WARN_ABOVE, BROKEN_ABOVE = timedelta(seconds=5), timedelta(seconds=60)
_HALF = timedelta(seconds=0.5)
_REMEDY = "synchronize both clocks with a time server (chrony or systemd-timesyncd)"


def offset_from_header(headers: Mapping[str, str], sent: datetime, received: datetime) -> timedelta | None:
    """Return how far the server's clock is ahead of ours; None without a Date header."""
    try:
        remote = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return clock_offset(remote.astimezone(UTC) + _HALF, sent, received)


def clock_offset(remote: datetime, sent: datetime, received: datetime) -> timedelta:
    """Return how far a clock that showed ``remote`` is ahead of ours, read before and after the request."""
    return remote - (sent + (received - sent) / 2)


def check_offset(service: str, offset: timedelta | None) -> Finding:
    """Return a warning for an offset above 5 s, and broken above 60 s, where rows are quarantined."""
    if offset is None:
        return skipped(f"{service} does not report its time")
    if abs(offset) <= WARN_ABOVE:
        return ok(f"{service} and this machine agree within {WARN_ABOVE.total_seconds():.0f} s")
    direction = "ahead of" if offset > timedelta(0) else "behind"
    sentence = f"the clock of {service} is {format_span(offset)} {direction} this machine's"
    if abs(offset) <= BROKEN_ABOVE:
        return warning(sentence, _REMEDY)
    return broken(f"{sentence}: rows with timestamps in the future are quarantined", _REMEDY)
