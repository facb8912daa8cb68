"""Performance: metrics by the names of model.yaml, decay against a version's own baseline, estimates."""

from homeostat.performance.assess import BatchScore, PerformanceReport, assess
from homeostat.performance.decay import BATCHES, decay
from homeostat.performance.estimate import Estimate, abstain, estimate
from homeostat.performance.metrics import METRICS, all_metrics, higher_is_better, score

__all__ = [
    "BATCHES",
    "METRICS",
    "BatchScore",
    "Estimate",
    "PerformanceReport",
    "abstain",
    "all_metrics",
    "assess",
    "decay",
    "estimate",
    "higher_is_better",
    "score",
]
