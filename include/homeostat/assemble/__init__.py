"""Raw rows into a training snapshot: typed, windowed, checked, split and weighed."""

from homeostat.assemble.columns import as_category, as_label, as_number, as_time
from homeostat.assemble.conform import Conformed, Finding, conform
from homeostat.assemble.holdout import split_holdout
from homeostat.assemble.quality import QualityCheck, QualityReport, check_quality, examine
from homeostat.assemble.snapshot import Snapshot, assemble
from homeostat.assemble.window import recency_weights, select_window

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
