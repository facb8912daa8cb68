"""Training data: raw rows are typed, selected, checked, split and weighted."""

from homeostat.core.training_data.categories import as_category, as_label
from homeostat.core.training_data.coercion import CoercedRows, DataFinding, coerce_rows
from homeostat.core.training_data.columns import as_number, as_time
from homeostat.core.training_data.evaluation import assemble_holdout
from homeostat.core.training_data.far_times import FAR_TIMES, FarTimes, find_far_times
from homeostat.core.training_data.file_cells import FILE_NOTES, OPEN_DATES
from homeostat.core.training_data.history import join_history
from homeostat.core.training_data.holdout import split_holdout
from homeostat.core.training_data.label_kind import why_not_classes
from homeostat.core.training_data.members import Member, member_rows, members, window_rows
from homeostat.core.training_data.quality import QualityCheck, QualityReport, check_quality, run_checks
from homeostat.core.training_data.quarantine_causes import causes_in_words, coercion_causes
from homeostat.core.training_data.repeated_rows import (
    behind_traffic,
    newest_labelled,
    repeated_rows_warning,
)
from homeostat.core.training_data.sampling import SAMPLED
from homeostat.core.training_data.snapshot import Snapshot, assemble
from homeostat.core.training_data.window import recency_weights, select_window

__all__ = [
    "FAR_TIMES",
    "FILE_NOTES",
    "OPEN_DATES",
    "SAMPLED",
    "CoercedRows",
    "DataFinding",
    "FarTimes",
    "Member",
    "QualityCheck",
    "QualityReport",
    "Snapshot",
    "as_category",
    "as_label",
    "as_number",
    "as_time",
    "assemble",
    "assemble_holdout",
    "behind_traffic",
    "causes_in_words",
    "check_quality",
    "coerce_rows",
    "coercion_causes",
    "find_far_times",
    "join_history",
    "member_rows",
    "members",
    "newest_labelled",
    "recency_weights",
    "repeated_rows_warning",
    "run_checks",
    "select_window",
    "split_holdout",
    "why_not_classes",
    "window_rows",
]
