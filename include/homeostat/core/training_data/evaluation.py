"""Assemble a holdout alone, for a model that was trained elsewhere."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.core.training_data.coercion import coerce_rows
from homeostat.core.training_data.quality import check_quality
from homeostat.core.training_data.quarantine_causes import causes_in_words
from homeostat.core.training_data.snapshot import Snapshot, all_quarantined, span


def assemble_holdout(
    frame: pd.DataFrame, config: ModelConfig, *, begin: datetime | None, end: datetime | None
) -> Snapshot:
    """Type and check rows that are all for the evaluation of a model; there are no training rows.

    Parameters
    ----------
    frame
        Raw rows; those outside ``[begin, end)`` are ignored. None: no bound.

    Raises
    ------
    EmptyWindow
        No usable row.
    DataError
        A required column is missing, or fewer than ``monitor.min_rows`` rows are left.
    QualityRefused
        The quality checks failed; carries the report and the quarantined rows.
    """
    name = config.columns.timestamp
    typed = coerce_rows(frame, config, label=True)
    rows = typed.rows[_inside(typed.rows[name], begin, end)]
    unreadable = typed.quarantined[
        (typed.quarantined_at.isna() | _inside(typed.quarantined_at, begin, end)).to_numpy()
    ]
    since = f" from {begin:%Y-%m-%d %H:%M} UTC" if begin else ""
    until = f" up to {end:%Y-%m-%d %H:%M} UTC" if end else ""
    kept = rows
    if len(rows) >= config.monitor.min_rows:
        quality = check_quality(rows.reset_index(drop=True), config, already_quarantined=unreadable)
        kept = quality.kept
    if len(kept) < config.monitor.min_rows:
        msg = (
            f"{config.name}: {len(kept)} usable labelled rows{since}{until} to evaluate the model on, "
            f"monitor.min_rows is {config.monitor.min_rows}: wait for more labels, give an earlier "
            "trained_until if the model has not learned the rows after it, or give a holdout"
        )
        raise DataError(msg)
    holdout = kept.sort_values(name, kind="stable", ignore_index=True)
    quarantined = all_quarantined(unreadable, quality.quarantined)
    report = {
        "end": end.isoformat() if end else None,
        "rows_read": len(frame),
        "holdout": span(holdout, config),
        "quarantined": len(quarantined),
        "quarantined_by": causes_in_words(quality.causes),
        "findings": [finding.to_json() for finding in typed.findings],
        "quality": quality.to_json(),
    }
    return Snapshot(holdout.iloc[:0], holdout, None, quarantined, report)


def _inside(moments: pd.Series, begin: datetime | None, end: datetime | None) -> pd.Series:
    inside = moments.notna()
    if begin is not None:
        inside &= moments >= begin
    if end is not None:
        inside &= moments < end
    return inside
