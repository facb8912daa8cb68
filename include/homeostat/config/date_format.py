"""Check a format of dates that a user gives."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: Units of numbers that count from 1970, and how many of them a second has; of days see :func:`from_epoch`.
EPOCH_UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9, "d": 1 / 86_400}
_DAYS = ("2024-01-31", "2024-03-30", "2023-03-30")


def from_epoch(numbers: npt.NDArray[np.float64], unit: str) -> npt.NDArray[np.float64]:
    """Return numbers that count from 1970 in this unit of :data:`EPOCH_UNITS` in seconds."""
    return numbers * 86_400 if unit == "d" else numbers / EPOCH_UNITS[unit]


def date_format_of(text: str) -> str:
    """Return the format unchanged.

    Raises
    ------
    ValueError
        It is neither a unit of :data:`EPOCH_UNITS` nor a format of ``strptime`` that tells days apart.
    """
    if text in EPOCH_UNITS:
        return text
    try:
        for day in map(datetime.fromisoformat, _DAYS):
            if datetime.strptime(day.strftime(text), text).date() != day.date():  # noqa: DTZ007  # a day has no zone
                break
        else:
            return text
    except ValueError:
        pass
    msg = (
        f"'{text}' is no format of dates: write day, month and year as %d/%m/%Y or %Y%m%d, or the unit of "
        f"numbers that count from 1970 ({', '.join(EPOCH_UNITS)})"
    )
    raise ValueError(msg)
