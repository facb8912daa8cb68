"""Say when a retrain would learn the rows again that the champion has learned, beside live traffic."""

from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd

from homeostat.config import ModelConfig

#: A source that is filled once a day is not called old.
_DAY = timedelta(days=1)


def repeated_rows_warning(
    config: ModelConfig, newest: datetime | None, trained_until: datetime | None, logged: datetime | None
) -> str:
    """Return why a retrain from this source learns little or nothing new; "" when there is no reason.

    Only for models that a gateway serves and whose source is not the gateway's log. A source that has no row
    since ``trained_until`` is named, and one that is more than ``monitor.window`` (and a day) behind traffic.

    Parameters
    ----------
    newest
        Time of the source's newest row with a label; None: it has none (since ``trained_until``).
    trained_until
        End of the champion's training data, excluded; None when that is not known.
    logged
        Time of the newest logged traffic whose labels are due; None: none is known.
    """
    if config.serve != "gateway" or config.source.kind == "predictions":
        return ""
    repeats = trained_until is not None and (newest is None or newest < trained_until)
    learned = newest or trained_until
    served_since = logged is not None and (learned is None or logged > learned)
    if not repeats and not (served_since and behind_traffic(config, learned, logged)):
        return ""
    name = config.source.description
    if newest is not None:
        sentence = f"the newest row of {name} is of {_time(newest)}"
        trained = f", the champion was trained until {_time(trained_until)}" if trained_until else ""
    else:
        since = f"since {_time(trained_until)}" if trained_until else "in this window"
        sentence = f"{name} has no row with a label {since}"
        trained = ", the end of the champion's training data"
    if repeats:
        sentence = f"a retrain would learn the same rows again: {sentence}{trained}"
    if served_since:
        sentence += f"; the gateway has logged requests since. To learn from them: {config.source.as_history}"
    return sentence


def behind_traffic(config: ModelConfig, learned: datetime | None, logged: datetime | None) -> bool:
    """Return whether logged traffic is more than ``monitor.window`` (and a day) later than learned rows."""
    if logged is None:
        return False
    return learned is None or logged >= learned + max(config.monitor.window, _DAY)


def newest_labelled(rows: pd.DataFrame, config: ModelConfig) -> datetime | None:
    """Return the time of the newest row with a label; None for none."""
    label = config.columns.label.name
    times = rows.loc[rows[label].notna() if label in rows else [], config.columns.timestamp].dropna()
    return times.max().to_pydatetime() if len(times) else None


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
