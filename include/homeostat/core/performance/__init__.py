"""Performance: metrics by the names of model.yaml, decay against a version's own baseline, estimates."""

from homeostat.core.performance.assess import Baseline, BatchScore, PerformanceReport, assess
from homeostat.core.performance.batch_means import row_variance
from homeostat.core.performance.decay import BATCHES, decay
from homeostat.core.performance.estimate import Estimate, abstain, estimate
from homeostat.core.performance.metrics import METRICS, all_metrics, higher_is_better, score, why_undefined
from homeostat.core.performance.paired_comparison import PairedComparison, retraining_gain
from homeostat.core.performance.positive import guessed_sentence, with_positive_class
from homeostat.core.performance.reasons import AbstainReason, NotComputable, PerformanceReason

__all__ = [
    "BATCHES",
    "METRICS",
    "AbstainReason",
    "Baseline",
    "BatchScore",
    "Estimate",
    "NotComputable",
    "PairedComparison",
    "PerformanceReason",
    "PerformanceReport",
    "abstain",
    "all_metrics",
    "assess",
    "decay",
    "estimate",
    "guessed_sentence",
    "higher_is_better",
    "retraining_gain",
    "row_variance",
    "score",
    "why_undefined",
    "with_positive_class",
]
