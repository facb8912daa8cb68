"""Performance: metrics by the names of model.yaml, decay against a version's own baseline, estimates."""

from homeostat.core.performance.assess import Baseline, BatchScore, PerformanceReport, assess
from homeostat.core.performance.batch_means import row_variance
from homeostat.core.performance.decay import BATCHES, decay
from homeostat.core.performance.estimate import Estimate, abstain, estimate
from homeostat.core.performance.metrics import METRICS, all_metrics, higher_is_better, score
from homeostat.core.performance.paired_comparison import Duel, gain

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
