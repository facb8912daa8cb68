"""The members of a version: fits of one pipeline on all rows, on a middle stretch and on the shortest one.

No memory suits every stream: old rows harm where the relation changes, and help where seasons return. Lengths
are counted in rows, from ``training.min_rows`` and the rows of a monitoring window, so that they follow the
data's own pace.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from homeostat.config.model import Monitor, Training

#: The shortest stretch has at least so many windows; the middle one is so many times as long.
SHORT_WINDOWS = 4
MIDDLE_SHORTS = 4


@dataclass(frozen=True, slots=True)
class Member:
    """What one fit of a version learns from.

    ``rows``: only the newest so many rows; None for all. ``half_life_rows``: a row that is so many rows older
    than the newest weighs half; None for equal weights.
    """

    name: str
    rows: int | None = None
    half_life_rows: int | None = None

    def describe(self, rows: int) -> str:
        """Return the member for people, where there are so many rows: ``middle 4,032 rows``."""
        if self.rows is not None:
            return f"{self.name} {min(self.rows, rows):,} rows"
        return "all rows" if self.name == "all" else self.name


def window_rows(moments: pd.Series, monitor: Monitor) -> int:
    """Return the rows of a window: the median over the windows that have rows, at least ``min_rows``.

    Parameters
    ----------
    moments
        Times of the labelled rows (UTC).
    """
    window = pd.Timedelta(monitor.window)
    numbers = (moments - moments.min()) // window if len(moments) else pd.Series([], dtype="int64")
    counts = numbers.value_counts()
    return max(int(counts.median()) if len(counts) else 0, monitor.min_rows)


def members(rows: int, window_rows: int, training: Training, *, weighted: bool = True) -> tuple[Member, ...]:
    """Return the members that can be fitted on so many rows, the one with the longest memory first.

    Of members that coincide, since the history is short, the first is kept: with no more rows than the
    shortest stretch there is one. Only ``training.window.kind: auto`` has several.

    Parameters
    ----------
    rows
        Usable rows.
    window_rows
        Rows of a window, see :func:`window_rows`.
    training
        ``min_rows`` and ``recipes`` apply.
    weighted
        Whether the estimator takes weights; without, the middle stretch has equal ones.
    """
    if training.window.kind != "auto":
        return (Member(training.window.kind),)
    short = max(training.min_rows, SHORT_WINDOWS * window_rows)
    middle = MIDDLE_SHORTS * short
    found = [Member("all"), Member("middle", middle, short if weighted else None), Member("short", short)]
    allowed = [member for member in found if member.name in training.recipes]
    if rows <= short:
        return (allowed[0],)
    if rows <= middle and not weighted and allowed[0].name == "all":
        return tuple(member for member in allowed if member.name != "middle")
    return tuple(allowed)


def member_rows(moments: pd.Series, member: Member) -> tuple[slice, np.ndarray | None]:
    """Return which rows a member learns from, and their weights.

    Rows of the same time stay together: a batch is learnt from whole.

    Parameters
    ----------
    moments
        Times of the rows (UTC) in ascending order, shape (n,).

    Returns
    -------
    tuple
        The newest rows as a slice, and their weights in (0, 1], 1 for the newest; None for equal weights.
    """
    n = len(moments)
    first = 0 if member.rows is None else max(n - member.rows, 0)
    if first:
        first = int(moments.searchsorted(moments.iloc[first]))
    if member.half_life_rows is None:
        return slice(first, n), None
    age = np.arange(n - first - 1, -1, -1, dtype=np.float64)
    weights: np.ndarray = np.power(0.5, age / member.half_life_rows)
    return slice(first, n), weights
