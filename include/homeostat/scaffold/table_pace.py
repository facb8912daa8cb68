"""Derive windows and delays from how fast rows arrive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

#: A step's performance needs this many labelled rows, see :mod:`homeostat.core.performance`.
STEP_ROWS = 30
#: A window of fewer rows shows only large drift.
WINDOW_ROWS = 200
_STEPS = tuple(timedelta(hours=hours) for hours in (1, 6, 24, 7 * 24, 28 * 24))
_DAY = timedelta(hours=24)
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)  # as in window_end_of of the drift check


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to check, over which window, and when labels are taken to be known.

    ``rows_per_day`` is None where the rows have no time. ``last`` is the time of the newest row, in seconds
    since 1970.
    """

    every: timedelta
    window: timedelta
    delay: timedelta
    cooldown: timedelta
    rows_per_day: float | None = None
    last: float | None = None

    @property
    def newest_window(self) -> tuple[datetime, datetime] | None:
        """Return start and end of the window that holds the newest rows; it ends with a whole step."""
        if self.last is None:
            return None
        last = datetime.fromtimestamp(self.last, UTC)
        end = last + self.every - (last - _MONDAY) % self.every
        return end - self.window, end


#: Of a table without times: the defaults of model.yaml.
DEFAULT_PACE = Pace(timedelta(hours=1), _DAY, _DAY, _DAY)


def pace_of(seconds: npt.NDArray[np.float64]) -> Pace:
    """Return the pace of rows with these times.

    A step is the shortest usual one with :data:`STEP_ROWS` rows on average, a window has whole steps,
    :data:`WINDOW_ROWS` rows and at least a day, and a label is taken to be known after one step.

    Parameters
    ----------
    seconds
        Sorted, since 1970. The outermost 1 % does not count: a few may be mistakes.
    """
    cut = seconds.size // 100
    middle = seconds[cut : seconds.size - cut]
    span = float(middle[-1] - middle[0]) if middle.size else 0.0
    if span <= 0:
        return DEFAULT_PACE
    per_second = (middle.size - 1) / span
    every = next((step for step in _STEPS if per_second * step.total_seconds() >= STEP_ROWS), _STEPS[-1])
    steps = -(-WINDOW_ROWS // max(1e-9, per_second * every.total_seconds()))
    steps = max(1, round(min(steps, 12)), round(_DAY / every) if every < _DAY else 1)
    window = every * steps
    return Pace(every, window, every, max(_DAY, window), per_second * 86_400, float(middle[-1]))
