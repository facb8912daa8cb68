"""The most recent rows, kept apart to judge what was fitted on the rest."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from homeostat.config.errors import DataError


def split_holdout(frame: pd.DataFrame, share: float, timestamp: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows by time into ``(train, holdout)``, each sorted by time; the holdout is the later one.

    The holdout has at least ``share`` of the rows, and more where the cut would fall between rows of
    one instant: those stay together, or the holdout would hold twins of training rows. Only when
    nothing were left to train on do they all go to the training side.

    Raises
    ------
    DataError
        Every row bears the same time, so that there is no "later".
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
            f"{len(ordered)} rows of one and the same '{timestamp}' cannot be split: the holdout is the "
            "later part, so the rows need different times"
        )
        raise DataError(msg)
    return ordered.iloc[:at].reset_index(drop=True), ordered.iloc[at:].reset_index(drop=True)


def move_split(
    train: pd.DataFrame, holdout: pd.DataFrame, since: datetime, timestamp: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the holdout's rows before ``since`` to the training side.

    A champion has learnt from them, so that they compare nobody with it; and a candidate that may not learn
    from what the champion has learnt from is older than what it should replace.
    """
    seen = holdout[timestamp] < since
    return (
        pd.concat([train, holdout[seen]], ignore_index=True),
        holdout[~seen].reset_index(drop=True),
    )
