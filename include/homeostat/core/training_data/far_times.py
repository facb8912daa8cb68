"""Find rows whose time is far from that of all others: the year 9999 for "open", 1970 for "unknown"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

#: In the ``attrs`` of a source's rows: the sentence on the rows that were left out.
FAR_TIMES = "far_times"
#: At most this share of the rows, at either end, can be far off (and always one row).
MAX_SHARE = 0.01
#: A gap counts as far when it is longer than this, and than this share of the time the others span.
MIN_GAP, MIN_GAP_SHARE = np.timedelta64(30, "D"), 0.25
#: Fewer rows say nothing about what is usual.
MIN_ROWS = 10


@dataclass(frozen=True, slots=True)
class FarTimes:
    """Rows far before and far after all others, as masks of shape (n,), and the span of the others."""

    before: np.ndarray
    after: np.ndarray
    first: np.datetime64
    last: np.datetime64

    def sentence(self, column: str, times: pd.Series, mask: np.ndarray) -> str:
        """Return in words which of these rows are left out and why; "" for none.

        Rows are counted from 1, by the index of ``times``.
        """
        at = np.flatnonzero(mask)
        if not at.size:
            return ""
        values = _micros(times)
        shown = ", ".join(f"{_day(values[i])} (row {times.index[i] + 1})" for i in at[:3].tolist())
        more = f" and {at.size - 3} more" if at.size > 3 else ""
        rows, their = ("1 row is", "its") if at.size == 1 else (f"{at.size:,} rows are", "their")
        return (
            f"{rows} left out because {their} '{column}' is far from all others, which lie between "
            f"{_day(self.first)} and {_day(self.last)}: {shown}{more}; correct the time, or delete the row"
        )


def find_far_times(times: pd.Series) -> FarTimes:
    """Return which rows are far off in time.

    Few rows (:data:`MAX_SHARE`) beyond a gap that is long by the calendar and beside the span of all other
    rows (:data:`MIN_GAP`, :data:`MIN_GAP_SHARE`) are far off. A history that ends and begins again, or that
    grows from a few rows a week, has no such rows. A missing time is not far off.
    """
    values = _micros(times)
    present = np.sort(values[~np.isnat(values)])
    none = np.zeros(len(values), dtype=bool)
    if present.size < MIN_ROWS:
        ends = present[[0, -1]] if present.size else np.array(["NaT", "NaT"], "M8[us]")
        return FarTimes(none, none, *ends)
    most = max(1, int(MAX_SHARE * present.size))
    steps = np.diff(present)
    span = present[-1 - most] - present[most]
    limit = max(MIN_GAP.astype("m8[us]"), (span * MIN_GAP_SHARE).astype("m8[us]"))
    low = np.flatnonzero(steps[:most] > limit)
    high = np.flatnonzero(steps[present.size - 1 - most :] > limit)
    first = present[low[-1] + 1] if low.size else present[0]
    last = present[present.size - 1 - most + high[0]] if high.size else present[-1]
    with np.errstate(invalid="ignore"):
        return FarTimes(values < first, values > last, first, last)


def _micros(times: pd.Series) -> np.ndarray:
    naive = times.dt.tz_convert("UTC").dt.tz_localize(None) if times.dt.tz is not None else times
    values: np.ndarray = naive.to_numpy().astype("M8[us]")
    return values


def _day(moment: np.datetime64) -> str:
    return str(np.datetime_as_string(moment, unit="D"))
