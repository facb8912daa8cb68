"""Whether this machine's clock goes like everybody else's.

Rows from the future are quarantined, and AWS refuses requests that are 15 minutes off. An HTTP answer's
Date is in whole seconds: on average it is half a second behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from homeostat.doctor.check import Finding, broken, ok, skipped, span, warning

NOTED, WRONG = timedelta(seconds=5), timedelta(seconds=60)
_HALF = timedelta(seconds=0.5)
_CURE = "let both machines follow a time server (chrony, systemd-timesyncd); in the cloud, the provider's own"


def ahead_by_header(headers: Mapping[str, str], asked: datetime, answered: datetime) -> timedelta | None:
    """How far the answering machine's clock is ahead of ours; None where it says no time."""
    try:
        there = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return ahead(there.astimezone(UTC) + _HALF, asked, answered)


def ahead(there: datetime, asked: datetime, answered: datetime) -> timedelta:
    """How far a clock that showed ``there`` is ahead of ours, which showed two times around it."""
    return there - (asked + (answered - asked) / 2)


def judge(who: str, offset: timedelta | None) -> Finding:
    """More than 5 s is worth a word, more than 60 s loses rows."""
    if offset is None:
        return skipped(f"{who} says no time")
    if abs(offset) <= NOTED:
        return ok(f"{who} and this machine agree within {NOTED.total_seconds():.0f} s")
    sentence = f"{who} is {span(offset)} {'ahead of' if offset > timedelta(0) else 'behind'} this machine"
    if abs(offset) <= WRONG:
        return warning(sentence, _CURE)
    return broken(f"{sentence}: rows from the future are quarantined", _CURE)
