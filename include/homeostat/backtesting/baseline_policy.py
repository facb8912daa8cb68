"""The baseline policy: the published trigger and gate that Homeostat started from, for comparison.

Drift of a feature is a p-value below 0.05 of ``scipy.stats.ks_2samp`` against the training data. A signal
is drift on more than 30 % of the features; the third consecutive signal retrains. So does, at once, a mean
accuracy over the last ten batches more than 0.15 below the stored one. A retrain blocks the next for 24
hours. The gate compares the candidate's holdout score with the score *stored* with the champion.

This follows the published code rather than its text: a decay above 0.10 sets a flag that the trigger never
reads, a critical decay does not reset the signal count, and the cooldown starts when the trigger fires,
whatever the retrain's result. Choices for what was left open: categories are compared by their codes, a
promoted version starts a monitor that sees only its own predictions, regression errors are compared
relatively, and latency is not checked.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from homeostat.backtesting.fixed_policies import SimulatedServing
from homeostat.backtesting.policy_run import PolicyRun, Progress, WindowResult
from homeostat.backtesting.prediction_cache import PredictionCache
from homeostat.backtesting.version_builder import VersionBuilder
from homeostat.backtesting.version_fitter import BuiltVersion
from homeostat.backtesting.windows import Window
from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError
from homeostat.core.performance.decay import decay

P_VALUE = 0.05
DRIFTED_SHARE = 0.3
CONSECUTIVE_SIGNALS = 3
COOLDOWN = timedelta(hours=24)
CRITICAL_DECAY = 0.15
MAX_REGRESSION = 0.02
MIN_ROWS = 1000


@dataclass(slots=True)
class BaselineTrigger:
    """The baseline's trigger, with its state in memory."""

    signals: int = 0
    last_retrain: datetime | None = None

    def evaluate(self, drifted_share: float, decayed: float | None, now: datetime) -> tuple[bool, str]:
        """Return whether to retrain, and the reason."""
        if self.last_retrain is not None and now - self.last_retrain < COOLDOWN:
            return False, "cooldown_active"
        if decayed is not None and decayed > CRITICAL_DECAY:
            self.last_retrain = now
            return True, "performance_decay_critical"
        self.signals = self.signals + 1 if drifted_share > DRIFTED_SHARE else 0
        if self.signals >= CONSECUTIVE_SIGNALS:
            self.signals = 0
            self.last_retrain = now
            return True, "sustained_drift"
        return False, "within_tolerance"


@dataclass(slots=True)
class BaselineMonitor:
    """Scores of the labelled batches, and the version's stored score to compare them with."""

    stored_score: float | None
    scores: list[float] = field(default_factory=list)

    def decay(self, metric: str) -> float | None:
        """Return the loss of performance (positive: worse); None without a batch or a stored score."""
        return None if self.stored_score is None else decay(self.stored_score, self.scores, metric)


def run_baseline(cache: PredictionCache, builder: VersionBuilder, progress: Progress) -> PolicyRun:
    """Replay the history with the baseline's trigger and gate."""
    config = cache.config
    metric = _metric(config)
    serving = SimulatedServing(cache, builder.build(cache.history.reference_end))
    trigger, monitor = BaselineTrigger(), BaselineMonitor(serving.champion.holdout_score)
    reference = builder.training_data(serving.champion)
    previous_key = ""  # the version that served the window whose labels arrive at the end of this one
    for window in cache.history.windows:
        result, promoted = serving.serve(window), None
        if previous_key == serving.champion.key:
            late = cache.score([cache.predictions(previous_key, window.index - 1)], metric)
            monitor.scores += [] if late is None else [late]
        previous_key = serving.champion.key
        share = drifted_share(reference, cache.inputs(window.index), config)
        fire, reason = trigger.evaluate(share, monitor.decay(metric), window.end)
        if fire:
            result = replace(result, event="retrain", reason=reason)
            result, promoted = _retrain(result, serving.champion, cache, builder)
        serving.add(result)
        if promoted is not None:
            serving.promote(promoted, window.index)
            monitor = BaselineMonitor(promoted.holdout_score)
            reference = builder.training_data(promoted)
        progress()
    return serving.run


def drifted_share(reference: pd.DataFrame, window: pd.DataFrame, config: ModelConfig) -> float:
    """Return the share of features with a KS p-value below 0.05; a feature without values has not drifted."""
    from scipy.stats import ks_2samp

    drifted = 0
    for name, feature in config.columns.features.items():
        expected, observed = reference[name].dropna(), window[name].dropna()
        if not len(expected) or not len(observed):
            continue
        if feature.type == "category":
            expected, observed = _category_codes(expected, observed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # SciPy switches from the exact p-value
            test = ks_2samp(expected.to_numpy(dtype=float), observed.to_numpy(dtype=float))
        drifted += bool(test.pvalue < P_VALUE)
    return drifted / len(config.columns.features)


def _category_codes(expected: pd.Series, observed: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return categories as numbers: their value if all are numeric, otherwise their alphabetical rank."""
    both = pd.concat([expected, observed])
    numbers = pd.to_numeric(both, errors="coerce")
    if numbers.isna().any():
        numbers = pd.Series(np.unique(both.astype("str"), return_inverse=True)[1])
    return numbers.iloc[: len(expected)], numbers.iloc[len(expected) :]


def _retrain(
    result: WindowResult, champion: BuiltVersion, cache: PredictionCache, builder: VersionBuilder
) -> tuple[WindowResult, BuiltVersion | None]:
    window: Window = result.window
    try:
        candidate = builder.build(window.end - cache.history.length)
    except HomeostatError as error:
        return replace(result, sentence=str(error), refused=str(error)), None
    failures = baseline_gate(candidate, champion, cache.config)
    if failures:
        sentence = "The gate refused: " + "; ".join(failures) + "."
        return replace(result, fitted=True, sentence=sentence, refused=sentence), None
    sentence = f"Retrained on {candidate.training_rows} rows; the gate passed."
    return replace(result, fitted=True, promoted=True, sentence=sentence), candidate


def baseline_gate(candidate: BuiltVersion, champion: BuiltVersion, config: ModelConfig) -> list[str]:
    """Return the failed checks of the baseline's gate; [] when the candidate passes."""
    metric, failures = _metric(config), []
    if candidate.holdout_score is not None and champion.holdout_score is not None:
        lost = decay(champion.holdout_score, [candidate.holdout_score], metric)
        if lost is not None and lost > MAX_REGRESSION:
            failures.append(
                f"{metric} {candidate.holdout_score:.4g}, "
                f"stored with the champion {champion.holdout_score:.4g}"
            )
    if candidate.training_rows <= MIN_ROWS:
        failures.append(f"{candidate.training_rows} training rows, more than {MIN_ROWS} required")
    if candidate.nan_rate:
        failures.append(f"{candidate.nan_rate:.1%} of the predictions are missing")
    return failures


def _metric(config: ModelConfig) -> str:
    return "mae" if config.task == "regression" else "accuracy"
