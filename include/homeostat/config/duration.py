"""Durations as people write them: 90s, 15m, 24h, 180d, 2w."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def parse_duration(text: object) -> timedelta:
    """Parse ``"90s"``, ``"15m"``, ``"24h"``, ``"180d"`` or ``"2w"``.

    Raises
    ------
    ValueError
        Not a number with a unit. A bare number is refused, since its unit is unknown.
    """
    if isinstance(text, timedelta):
        return text
    match = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        msg = f"{text!r} is not a duration: write a number and a unit, such as 90s, 15m, 24h or 180d"
        raise ValueError(msg)
    try:
        return timedelta(seconds=float(match[1]) * _UNITS[match[2]])
    except OverflowError:
        msg = f"{text!r} is too long: write a shorter duration, such as 180d"
        raise ValueError(msg) from None


def format_duration(value: timedelta) -> str:
    """Format a timedelta in the largest unit that gives a whole number (``"24h"``, ``"90s"``)."""
    seconds = value.total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    # Not ":g", which writes a million seconds as 1e+06s and rounds 1234567.
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def describe_duration(value: timedelta) -> str:
    """Describe a duration for people, in one unit with three digits (``"90 minutes"``, ``"5.13 days"``)."""
    seconds = value.total_seconds()
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size or seconds == size:
            number = f"{seconds / size:.3g}" if seconds < 1000 * size else f"{seconds / size:.0f}"
            return f"{number} {unit}" if number == "1" else f"{number} {unit}s"
    return f"{seconds:.3g} seconds"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
]
