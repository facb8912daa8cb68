"""Performance: metrics by the names of model.yaml, decay against a version's own baseline, estimates."""

from homeostat.performance.assess import Baseline, BatchScore, PerformanceReport, assess
from homeostat.performance.decay import BATCHES, decay
from homeostat.performance.duel import Duel, gain
from homeostat.performance.estimate import Estimate, abstain, estimate
from homeostat.performance.metrics import METRICS, all_metrics, higher_is_better, score
from homeostat.performance.scatter import row_variance

__all__ = [
    "BATCHES",
    "METRICS",
    "Baseline",
    "BatchScore",
    "Duel",
    "Estimate",
    "PerformanceReport",
    "abstain",
    "all_metrics",
    "assess",
    "decay",
    "estimate",
    "gain",
    "higher_is_better",
    "row_variance",
    "score",
]
