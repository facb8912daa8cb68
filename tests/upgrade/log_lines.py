"""The prediction log in the form of the record: digests over sorted lines, one line per row."""

from __future__ import annotations

import hashlib
import io
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from homeostat.adapters.configured_source import ConfiguredSource
from homeostat.config import ModelConfig
from homeostat.config.model import Source
from homeostat.ports import Store
from homeostat.storage.label_join import read_labelled
from homeostat.storage.prediction_log import read_labels, read_predictions
from upgrade.installation import HOUR, MIDNIGHT

FIRST, LAST = MIDNIGHT - 2 * HOUR, MIDNIGHT + timedelta(hours=30)
VARIANTS = ("champion", "control", "candidate", "shadow", "pinned")
OWN_COLUMNS = (
    *("prediction_id", "request_id", "at", "received_at", "version", "variant", "rollout", "key", "extra"),
    *("confidence", "latency_ms", "error", "prediction"),
)


def log_of(config: ModelConfig, store: Store) -> dict[str, Any]:
    """Return what the log of a model holds: predictions by variant, labels, and both joined."""
    columns = [*(f"_{name}" for name in OWN_COLUMNS), *config.feature_names]
    served = read_predictions(store, config, FIRST, LAST)
    labels = read_labels(store, config, FIRST, LAST)
    label, key = config.columns.label.name, config.columns.key
    source = config.model_copy(update={"source": Source(kind="predictions")})
    source_columns = [config.columns.timestamp, *([key] if key else []), *config.feature_names, label]
    versions = served.rows["_version"].value_counts().sort_index()
    return {
        "columns": [*OWN_COLUMNS, *config.feature_names],
        "files": len(served.files),
        "unreadable": list(served.unreadable),
        "variants": {
            variant: _table(read_predictions(store, config, FIRST, LAST, variants=[variant]).rows, columns)
            for variant in VARIANTS
        },
        "served": _table(served.rows, columns, lines_shown=0),
        "with_error": sorted(served.rows["_error"].dropna().unique()),
        "with_extra": sorted(served.rows["_extra"].dropna().unique()),
        "by_version": {str(version): int(rows) for version, rows in versions.items()},
        "raw_label_rows": _rows_in_files(store, f"log/{config.name}/labels"),
        "raw_prediction_rows": _rows_in_files(store, f"log/{config.name}/predictions"),
        "labels": _table(labels, ["prediction_id", "label", "at", "received_at"]),
        "labelled": _table(read_labelled(store, config, FIRST, LAST), [*columns, label]),
        "as_a_source": _table(ConfiguredSource(store).read(source, FIRST, LAST), source_columns),
    }


def _rows_in_files(store: Store, folder: str) -> int:
    return sum(pq.read_metadata(io.BytesIO(store.get(key))).num_rows for key in store.list(folder))


def _table(frame: pd.DataFrame, columns: list[str], lines_shown: int = 1) -> dict[str, Any]:
    values = [[_text(value) for value in frame[name].astype(object)] for name in columns]
    lines = sorted("\t".join(row) for row in zip(*values, strict=True))
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return {"rows": len(lines), "digest": digest, "first_lines": lines[:lines_shown]}


def _text(value: Any) -> str:
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return repr(float(value)) if isinstance(value, float) else str(value)
