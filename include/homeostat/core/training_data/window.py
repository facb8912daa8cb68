"""Which past is learnt from: the window, the bad periods cut out of it, and how much each row weighs."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from homeostat.config.model import Training
from homeostat.config.times import utc


def select_window(frame: pd.DataFrame, training: Training, end: datetime, timestamp: str) -> pd.DataFrame:
    """Rows with ``start <= timestamp < end`` that lie in no bad period.

    ``start`` is ``end - length`` for a sliding window. Expanding and recency windows begin with the
    first row, or at ``end - length`` where a length is given as a bound. A bad period is an interval
    ``[start, end)``: its first instant is cut out, its end is not.
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
    """Weigh a row by ``0.5 ** (age / half_life)``: 1 at ``end``, a half one half-life before it.

    Parameters
    ----------
    timestamps
        Instants (UTC), none of them after ``end``.
    end
        The end of the window; ages are counted back from here.
    half_life
        The age at which a row counts half. (``exp(-age / half_life)``, often written for it, would
        be down to 0.37 there.)

    Returns
    -------
    numpy.ndarray
        Weights in (0, 1], shape ``(len(timestamps),)``; 0 beyond a thousand half-lives.

    Raises
    ------
    ValueError
        A row is younger than ``end``.
    """
    spans: pd.Series = utc(end) - timestamps
    ages: np.ndarray = spans.dt.total_seconds().to_numpy(dtype=np.float64) / half_life.total_seconds()
    if (ages < 0).any():
        msg = f"a row is younger than the window's end {end}: select the window before weighing it"
        raise ValueError(msg)
    weights: np.ndarray = np.power(0.5, ages)
    return weights
