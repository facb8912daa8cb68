"""Raw rows into a training snapshot: typed, windowed, checked, split and weighed."""

from homeostat.core.training_data.coerce_rows import Conformed, Finding, conform
from homeostat.core.training_data.columns import as_category, as_label, as_number, as_time
from homeostat.core.training_data.holdout import split_holdout
from homeostat.core.training_data.quality import QualityCheck, QualityReport, check_quality, examine
from homeostat.core.training_data.snapshot import Snapshot, assemble
from homeostat.core.training_data.window import recency_weights, select_window

__all__ = [
    "Conformed",
    "Finding",
    "QualityCheck",
    "QualityReport",
    "Snapshot",
    "as_category",
    "as_label",
    "as_number",
    "as_time",
    "assemble",
    "check_quality",
    "conform",
    "examine",
    "recency_weights",
    "select_window",
    "split_holdout",
]
