"""The holdout: the most recent rows, kept apart to evaluate what was fitted on the rest."""

from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd

from homeostat.config.errors import DataError


def split_holdout(frame: pd.DataFrame, share: float, timestamp: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows by time into ``(train, holdout)``, each sorted by time; the holdout is the later one.

    The holdout has at least ``share`` of the rows, and more where the split would separate rows of the same
    time: those stay together, so that the holdout has no duplicates of training rows. Only if that left no
    training rows, they all go to the training side.

    Raises
    ------
    DataError
        All rows have the same time.
    """
    ordered = frame.sort_values(timestamp, kind="stable", ignore_index=True)
    moments = ordered[timestamp]
    at = 0
    if len(ordered):
        count = min(max(round(share * len(ordered)), 1), len(ordered))
        cut = moments.iloc[len(ordered) - count]
        at = int((moments < cut).sum()) or int((moments <= cut).sum())
    if at in (0, len(ordered)):
        msg = (
            f"all {len(ordered)} rows have the same '{timestamp}': the holdout is the later part, so rows "
            "need different times"
        )
        raise DataError(msg)
    return ordered.iloc[:at].reset_index(drop=True), ordered.iloc[at:].reset_index(drop=True)


def newest_window(
    moments: pd.Series, end: datetime, window: timedelta, min_rows: int
) -> tuple[datetime, datetime] | None:
    """Return begin and end of the newest window: this length, and longer where it has too few rows.

    Parameters
    ----------
    moments
        Times of the labelled rows before ``end``, in order.
    end
        Until when labels are known. Where the newest row is older than a window, the window ends with it.
    window, min_rows
        The least length, and the least number of rows.

    Returns
    -------
    None where there are fewer rows in all.
    """
    if len(moments) < max(min_rows, 1):
        return None
    newest = moments.iloc[-1].to_pydatetime()
    until = end if newest >= end - window else newest + timedelta(microseconds=1)
    begin = min(until - window, moments.iloc[-max(min_rows, 1)].to_pydatetime())
    return begin, until


def move_split(
    train: pd.DataFrame, holdout: pd.DataFrame, since: datetime, timestamp: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Move the holdout's rows before ``since`` to the training side.

    The champion was trained on them, so they cannot be used for a comparison with it; and a candidate that is
    not trained on them would be based on older data than the champion.
    """
    seen = holdout[timestamp] < since
    return (
        pd.concat([train, holdout[seen]], ignore_index=True),
        holdout[~seen].reset_index(drop=True),
    )
