"""The longest interval between two runs of an EventBridge schedule expression."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
_DAY = 24 * 60


def longest_gap(expression: str) -> timedelta | None:
    """Return the longest time between two runs of ``rate(1 hour)`` or ``cron(0/15 * * * ? *)``.

    None for an expression that does not run every day, such as ``at(...)`` or a cron with a weekday.
    """
    if rate := re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression.strip()):
        return int(rate[1]) * _UNITS[rate[2]]
    cron = re.fullmatch(r"cron\((\S+) (\S+) (\S+) \* (\S+) \*\)", expression.strip())
    if cron is None or {cron[3], cron[4]} != {"*", "?"}:
        return None
    minutes, hours = _values(cron[1], 60), _values(cron[2], 24)
    if not minutes or not hours:
        return None
    runs = sorted(60 * hour + minute for hour in hours for minute in minutes)
    gaps = [later - sooner for sooner, later in zip(runs, [*runs[1:], runs[0] + _DAY], strict=True)]
    return timedelta(minutes=max(gaps))


def _values(field: str, end: int) -> set[int]:
    """Return the values of a field: ``*``, ``5``, ``0,30``, ``9-17``, ``0/15``; empty for other forms."""
    found: set[int] = set()
    for part in field.split(","):
        match = re.fullmatch(r"(?:(\*)|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
        if match is None or match[4] == "0":
            return set()
        first = int(match[2] or 0)
        last = int(match[3]) if match[3] else first if match[2] and not match[4] else end - 1
        found |= set(range(first, last + 1, int(match[4] or 1)))
    return found if max(found, default=end) < end else set()
