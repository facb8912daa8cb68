"""When a model's checks run: at the end of each window, and a little later so that not all run at once."""

from __future__ import annotations

import hashlib
from datetime import timedelta

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
_MINUTE = timedelta(minutes=1)


def spread_delay(model: str, every: timedelta) -> timedelta:
    """Return how long after a window's end the check of this model runs: whole minutes, less than an hour.

    A stable hash of the name: the same on every machine and after every restart, and spread evenly over the
    models. 0 for a period without fixed times, see :func:`cron_expression`.
    """
    if not has_fixed_times(every):
        return timedelta(0)
    minutes = min(every, HOUR) // _MINUTE
    digest = hashlib.sha256(model.encode()).digest()
    return int.from_bytes(digest[:8], "big") % minutes * _MINUTE


def has_fixed_times(every: timedelta) -> bool:
    """Return whether the period is whole minutes and divides an hour, a day or a week."""
    return cron_expression(every, timedelta(0)) is not None


def cron_expression(every: timedelta, delay: timedelta) -> str | None:
    """Return the cron expression of a period, ``delay`` later than its full ones; None where there is none.

    There is one where the period is whole minutes and divides an hour, a day or a week.

    Raises
    ------
    ValueError
        The delay is not whole minutes, or not shorter than the period.
    """
    if delay % _MINUTE or not timedelta(0) <= delay < every:
        msg = f"a delay of {delay} does not fit a period of {every}: whole minutes, and less than the period"
        raise ValueError(msg)
    hours, minutes = divmod(delay, HOUR)
    minute, weekday, hour = minutes // _MINUTE, (1 + hours // 24) % 7, hours % 24
    found = None
    if every < HOUR and not every % _MINUTE and not HOUR % every:
        step = every // _MINUTE
        found = f"{minute}-59/{step} * * * *" if minute else f"*/{step} * * * *"
    elif every < DAY and not every % HOUR and not DAY % every:
        step = every // HOUR
        found = f"{minute} {hours}-23/{step} * * *" if hours else f"{minute} */{step} * * *"
    elif every == DAY:
        found = f"{minute} {hours} * * *"
    elif every == WEEK:
        found = f"{minute} {hour} * * {weekday}"
    return found
