"""Rows of a model without a gateway (``serve: none``), in the shape of the prediction log."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from homeostat.config import ModelConfig
from homeostat.core.rollout import VersionRef
from homeostat.ports import Ports
from homeostat.storage.bundles import load_version


def score_in_batch(
    config: ModelConfig, ports: Ports, champion: VersionRef, start: datetime, end: datetime, *, label: bool
) -> pd.DataFrame:
    """Read the source's rows of ``[start, end)`` and score them with the champion.

    Returns the features under their own names and the columns ``_at``, ``_prediction``, ``_confidence``,
    ``_version`` and ``_extra`` of the prediction log; with ``label``, only rows that have one, and the
    label too. Rows that break the contract are left out, as a scoring job would leave them out.
    """
    from homeostat.core.training_data import coerce_rows

    raw = ports.source.read(config, start, end)
    rows = coerce_rows(raw, config, label=label).rows
    predictions = load_version(ports, config, champion.digest).predictor.predict(rows)
    own = {config.columns.timestamp, config.columns.key, config.columns.label.name}
    extra = sorted(set(map(str, raw.columns)) - own - set(config.feature_names))
    return rows.assign(
        _at=rows[config.columns.timestamp],
        _prediction=predictions.prediction,
        _confidence=predictions.confidence,
        _version=champion.version,
        _extra=",".join(extra) or None,
    )
