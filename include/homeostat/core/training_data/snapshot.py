"""Assemble training data: type, select, check, split and weight the rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import DataError, EmptyWindow, QualityRefused
from homeostat.config.times import utc
from homeostat.core.training_data.coercion import coerce_rows
from homeostat.core.training_data.holdout import move_split, newest_window, split_holdout
from homeostat.core.training_data.quality import check_quality
from homeostat.core.training_data.quarantine_causes import REASON, causes_in_words, coercion_causes
from homeostat.core.training_data.window import recency_weights, select_window

#: Unseen holdout rows must span so much of ``monitor.window`` to compare two versions on.
MIN_UNSEEN_SPAN = 0.9
#: The rows between the champion's training data and the newest window must span so much of a window for a
#: version that was fitted with them to be fresher than the champion.
MIN_FRESH_SPAN = 0.9


@dataclass(frozen=True, slots=True)
class NewestWindow:
    """The holdout of a retrain: the newest window of labelled rows, all of which the champion lacks.

    ``begin`` and ``end`` are its times, ``gap`` is how many windows of labels a version has learned by
    ``begin`` that the champion has not.
    """

    begin: datetime
    end: datetime
    gap: float

    @property
    def length(self) -> timedelta:
        """The length of a window."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The data of one version.

    ``train`` and ``holdout`` are sorted by time and do not overlap; ``weights`` belong to ``train`` (None:
    equal); ``quarantined`` are the window's unusable rows with their reason; ``report`` is plain JSON.
    ``newest`` is there when the holdout is the newest window.
    """

    train: pd.DataFrame
    holdout: pd.DataFrame
    weights: np.ndarray | None
    quarantined: pd.DataFrame
    report: dict[str, Any]
    newest: NewestWindow | None = None


def assemble(
    frame: pd.DataFrame,
    config: ModelConfig,
    end: datetime,
    *,
    unseen_since: datetime | None = None,
    probe: bool = True,
) -> Snapshot:
    """Turn raw rows into training data and a holdout.

    Parameters
    ----------
    frame
        Raw rows; those outside the window are ignored.
    config
        Gives schema, window, expectations and holdout.
    end
        The window's end, excluded. The caller subtracts ``schema.label.delay``: labels of later rows were not
        known yet, and a replay would train on its future.
    unseen_since
        The end of the champion's training data. Where it lacks two windows of labels or more, the holdout is
        the newest window (as long as ``monitor.window``, and with ``monitor.min_rows`` rows): what is fitted
        on the rest (``training.min_rows`` rows at least) is fresher than the champion, and both can be
        compared. Otherwise the holdout begins no
        earlier, as long as nearly a window of rows (and ``monitor.min_rows`` of them) is left to compare on.
    probe
        False: nothing is fitted, so that the holdout need not be as short as that.

    Raises
    ------
    EmptyWindow
        No usable row in the window.
    DataError
        A required column is missing, or fewer than ``training.min_rows`` rows are left.
    QualityRefused
        The quality checks failed; carries the report and the quarantined rows.
    """
    end = utc(end)
    typed = coerce_rows(frame, config, label=True)
    window = select_window(typed.rows, config.training, end, config.columns.timestamp)
    unreadable = _in_window(typed.quarantined, typed.quarantined_at, config, end)
    if window.empty:
        raise EmptyWindow(_empty_window(config, end, len(frame), len(typed.rows), unreadable))
    try:
        quality = check_quality(window, config, already_quarantined=unreadable)
    except QualityRefused as refused:
        refused.quarantined = all_quarantined(unreadable, refused.quarantined)
        raise
    kept = quality.kept
    if len(kept) < config.training.min_rows:
        msg = (
            f"{config.name}: {len(kept)} usable rows up to {end:%Y-%m-%d %H:%M} UTC, training.min_rows is "
            f"{config.training.min_rows}: wait for more rows, lengthen training.window or lower "
            "training.min_rows"
        )
        raise DataError(msg)
    train, holdout = split_holdout(kept, config.training.holdout, config.columns.timestamp)
    newest = None
    if unseen_since is not None and probe:
        newest = _newest_window(train, holdout, config, end, utc(unseen_since))
    if newest is not None:
        rows = pd.concat([train, holdout], ignore_index=True)
        inside = rows[config.columns.timestamp] >= newest.begin
        train, holdout = rows[~inside].reset_index(drop=True), rows[inside].reset_index(drop=True)
    elif unseen_since is not None and _enough_unseen(holdout, config, utc(unseen_since)):
        train, holdout = move_split(train, holdout, utc(unseen_since), config.columns.timestamp)
    quarantined = all_quarantined(unreadable, quality.quarantined)
    report = {
        "end": end.isoformat(),
        "window": config.training.window.kind,
        "rows_read": len(frame),
        "rows_in_window": len(window) + len(unreadable),
        "train": span(train, config),
        "holdout": span(holdout, config),
        "quarantined": len(quarantined),
        "quarantined_by": causes_in_words(quality.causes),
        "findings": [finding.to_json() for finding in typed.findings],
        "quality": quality.to_json(),
    }
    return Snapshot(train, holdout, _weights(train, config, end), quarantined, report, newest)


def _newest_window(
    train: pd.DataFrame, holdout: pd.DataFrame, config: ModelConfig, end: datetime, since: datetime
) -> NewestWindow | None:
    """Return the newest window, where a version that is fitted on the rows before it is fresher."""
    moments = pd.concat([train[config.columns.timestamp], holdout[config.columns.timestamp]])
    found = newest_window(moments, end, config.monitor.window, config.monitor.min_rows)
    if found is None:
        return None
    begin, until = found
    gap = (begin - since) / (until - begin)
    left = int((moments < begin).sum())
    enough = left >= max(config.training.min_rows, 1) and gap >= MIN_FRESH_SPAN
    return NewestWindow(begin, until, gap) if enough else None


def _enough_unseen(holdout: pd.DataFrame, config: ModelConfig, since: datetime) -> bool:
    moments = holdout[config.columns.timestamp]
    unseen = moments[moments >= since]
    if len(unseen) < config.monitor.min_rows:
        return False
    span: timedelta = unseen.max() - unseen.min()
    return span >= MIN_UNSEEN_SPAN * config.monitor.window


def _in_window(
    quarantined: pd.DataFrame, moments: pd.Series, config: ModelConfig, end: datetime
) -> pd.DataFrame:
    """Return the quarantined rows of this window, and those without a time, which may be of any."""
    dated = quarantined.assign(**{config.columns.timestamp: moments})
    inside = select_window(dated[moments.notna()], config.training, end, config.columns.timestamp)
    undated = quarantined[moments.isna().to_numpy()]
    inside = inside.assign(**{config.columns.timestamp: inside[config.columns.timestamp].astype("str")})
    undated = undated.assign(**{config.columns.timestamp: undated[config.columns.timestamp].astype("str")})
    return pd.concat([inside, undated], ignore_index=True)


def all_quarantined(unreadable: pd.DataFrame, failing: pd.DataFrame) -> pd.DataFrame:
    """Return both kinds of quarantined rows in one table, as text."""
    if unreadable.empty:
        return failing
    parts = [part.astype("str") for part in (unreadable, failing) if not part.empty]
    both = pd.concat(parts, ignore_index=True)
    return both[[name for name in both.columns if name != REASON] + [REASON]]


def _weights(train: pd.DataFrame, config: ModelConfig, end: datetime) -> np.ndarray | None:
    window = config.training.window
    if window.kind != "recency" or window.half_life is None:
        return None
    weights = recency_weights(train[config.columns.timestamp], end, window.half_life)
    if not weights.sum() > 0:
        msg = (
            f"{config.name}: every training row is more than a thousand half-lives old, so all weights "
            "are 0: lengthen training.window.half_life"
        )
        raise DataError(msg)
    return weights


def span(rows: pd.DataFrame, config: ModelConfig) -> dict[str, Any]:
    """Return how many rows there are, and their first and last time, as plain JSON."""
    moments = rows[config.columns.timestamp]
    return {"rows": len(rows), "from": moments.min().isoformat(), "to": moments.max().isoformat()}


def _empty_window(config: ModelConfig, end: datetime, read: int, typed: int, unreadable: pd.DataFrame) -> str:
    window = config.training.window
    length = f" of {window.length}" if window.length else ""
    causes = causes_in_words(coercion_causes(unreadable))
    why = f" ({causes})" if causes else ""
    return (
        f"{config.name}: no usable rows in the {window.kind} window{length} up to {end:%Y-%m-%d %H:%M} UTC: "
        f"{read} rows were read, {typed} of them typed and labelled, "
        f"{len(unreadable)} in the window quarantined{why}; check 'source' and training.window"
    )
