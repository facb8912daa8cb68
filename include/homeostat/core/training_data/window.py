"""The training window: which rows are used, without bad periods, and their weights."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from homeostat.config.model import Training
from homeostat.config.times import utc


def select_window(frame: pd.DataFrame, training: Training, end: datetime, timestamp: str) -> pd.DataFrame:
    """Return rows with ``start <= timestamp < end`` outside all bad periods.

    ``start`` is ``end - length`` for a sliding window. Expanding and recency windows begin with the
    first row, or at ``end - length`` where a length is given as a bound. A bad period is an interval
    ``[start, end)``: rows at its start are removed, rows at its end are not.
    """
    moments = frame[timestamp]
    end = utc(end)
    keep = moments < end
    if training.window.length is not None:
        keep &= moments >= end - training.window.length
    for period in training.bad_periods:
        keep &= ~((moments >= utc(period.start)) & (moments < utc(period.end)))
    return frame[keep].reset_index(drop=True)


def recency_weights(timestamps: pd.Series, end: datetime, half_life: timedelta) -> np.ndarray:
    """Weight a row by ``0.5 ** (age / half_life)``: 1 at ``end``, a half one half-life before it.

    Parameters
    ----------
    timestamps
        Instants (UTC), none of them after ``end``.
    end
        The end of the window: ages are relative to it.
    half_life
        The age at which a row counts half. (``exp(-age / half_life)``, a common mistake, would be
        0.37 there.)

    Returns
    -------
    numpy.ndarray
        Weights in (0, 1], shape ``(len(timestamps),)``; 0 beyond a thousand half-lives.

    Raises
    ------
    ValueError
        A row is later than ``end``.
    """
    spans: pd.Series = utc(end) - timestamps
    ages: np.ndarray = spans.dt.total_seconds().to_numpy(dtype=np.float64) / half_life.total_seconds()
    if (ages < 0).any():
        msg = f"a row is later than the window's end {end}: select the window before weighting"
        raise ValueError(msg)
    weights: np.ndarray = np.power(0.5, ages)
    return weights
