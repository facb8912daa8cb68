"""Performance: metrics by the names of model.yaml, decay against a version's own baseline, estimates."""

from homeostat.core.performance.ageing import Ageing, AgeingObservation, ageing
from homeostat.core.performance.assess import Baseline, BatchScore, PerformanceReport, assess
from homeostat.core.performance.batch_means import block_sums, mean_of_blocks, row_variance
from homeostat.core.performance.committee_record import (
    ONE_RECIPE_SE,
    SWITCH_SE,
    Choice,
    SubsetLosses,
    choose_members,
    mean_by_block,
    subsets,
    window_bounds,
)
from homeostat.core.performance.decay import BATCHES, decay
from homeostat.core.performance.estimate import Estimate, abstain, estimate
from homeostat.core.performance.losses import row_losses
from homeostat.core.performance.metrics import (
    METRICS,
    all_metrics,
    higher_is_better,
    metric_range,
    score,
    why_undefined,
)
from homeostat.core.performance.paired_comparison import PairedComparison
from homeostat.core.performance.positive import guessed_sentence, with_positive_class
from homeostat.core.performance.reasons import AbstainReason, NotComputable, PerformanceReason

__all__ = [
    "BATCHES",
    "METRICS",
    "ONE_RECIPE_SE",
    "SWITCH_SE",
    "AbstainReason",
    "Ageing",
    "AgeingObservation",
    "Baseline",
    "BatchScore",
    "Choice",
    "Estimate",
    "NotComputable",
    "PairedComparison",
    "PerformanceReason",
    "PerformanceReport",
    "SubsetLosses",
    "abstain",
    "ageing",
    "all_metrics",
    "assess",
    "block_sums",
    "choose_members",
    "decay",
    "estimate",
    "guessed_sentence",
    "higher_is_better",
    "mean_by_block",
    "mean_of_blocks",
    "metric_range",
    "row_losses",
    "row_variance",
    "score",
    "subsets",
    "why_undefined",
    "window_bounds",
    "with_positive_class",
]
