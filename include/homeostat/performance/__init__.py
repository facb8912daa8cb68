"""Performance: metrics by the names of model.yaml, and decay against a version's own baseline."""

from homeostat.performance.assess import BatchScore, PerformanceReport, assess
from homeostat.performance.decay import BATCHES, decay
from homeostat.performance.metrics import METRICS, all_metrics, higher_is_better, score

__all__ = [
    "BATCHES",
    "METRICS",
    "BatchScore",
    "PerformanceReport",
    "all_metrics",
    "assess",
    "decay",
    "higher_is_better",
    "score",
]
