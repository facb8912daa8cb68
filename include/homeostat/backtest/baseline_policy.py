"""The policy of the article that Homeostat grew out of, as it was published: something to be held against.

Per feature ``scipy.stats.ks_2samp`` against the training data, a p-value below 0.05 is drift, more than 30 %
of the features with drift is a signal, the third signal in a row retrains; so does, at once, an accuracy that
lies more than 0.15 below the stored one on average over the last ten batches. A retrain blocks the next for
24 hours. The gate holds the candidate's score on its holdout against the one *stored* with the champion.

Faithful to the code and not to the text around it: the decay above 0.10 sets a flag that the trigger never
reads; a critical decay leaves the count of signals as it is; the cooldown begins with the trigger, whatever
becomes of the retrain. Left open there and decided here: categories are compared by their codes, a promoted
version begins with a monitor of its own, which sees its own answers only; errors of a regression are compared
relatively; and the latency of this machine is not judged.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from homeostat.backtest.fixed_policies import Serving
from homeostat.backtest.policy_run import Played, Tick, Turn
from homeostat.backtest.prediction_cache import Bench
from homeostat.backtest.version_builder import Made, Workshop
from homeostat.backtest.windows import Span
from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError
from homeostat.core.performance.decay import decay

P_VALUE = 0.05
DRIFTED_SHARE = 0.3
IN_A_ROW = 3
COOLDOWN = timedelta(hours=24)
CRITICAL_DECAY = 0.15
MIN_IMPROVEMENT = -0.02
MIN_ROWS = 1000


@dataclass(slots=True)
class Trigger:
    """The published trigger's memory."""

    signals: int = 0
    last_retrain: datetime | None = None

    def evaluate(self, drifted: float, lost: float | None, now: datetime) -> tuple[bool, str]:
        """Whether to retrain, and why."""
        if self.last_retrain is not None and now - self.last_retrain < COOLDOWN:
            return False, "cooldown_active"
        if lost is not None and lost > CRITICAL_DECAY:
            self.last_retrain = now
            return True, "performance_decay_critical"
        self.signals = self.signals + 1 if drifted > DRIFTED_SHARE else 0
        if self.signals >= IN_A_ROW:
            self.signals = 0
            self.last_retrain = now
            return True, "sustained_drift"
        return False, "within_tolerance"


@dataclass(slots=True)
class Monitor:
    """Scores of the batches whose labels have come, beside the version's own baseline."""

    baseline: float | None
    scores: list[float] = field(default_factory=list)

    def decay(self, metric: str) -> float | None:
        """Loss against the baseline, positive is worse; None without a batch."""
        return None if self.baseline is None else decay(self.baseline, self.scores, metric)


def article(bench: Bench, workshop: Workshop, tick: Tick) -> Played:
    """Replay the stream with the article's trigger and gate."""
    config = bench.config
    metric = "mae" if config.task == "regression" else "accuracy"
    serving = Serving(bench, workshop.make(bench.stream.reference_end))
    trigger, monitor = Trigger(), Monitor(serving.made.stored)
    pending = ""  # who answered the window whose labels come next
    for span in bench.stream.windows:
        turn, made = serving.turn(span), None
        if pending == serving.made.key:
            late = bench.score([bench.said(pending, span.number - 1)], metric)
            monitor.scores += [] if late is None else [late]
        pending = serving.made.key
        drifted = drifted_share(serving.made.data, bench.window_inputs(span.number), config)
        fire, reason = trigger.evaluate(drifted, monitor.decay(metric), span.end)
        if fire:
            turn, made = _retrain(turn, span, reason, serving.made, bench, workshop)
        serving.add(turn)
        if made is not None:
            serving.promote(made, span.number)
            monitor = Monitor(made.stored)
        tick()
    return serving.played


def drifted_share(reference: pd.DataFrame, window: pd.DataFrame, config: ModelConfig) -> float:
    """Share of the features whose KS p-value is below 0.05; one without values is not drifted."""
    from scipy.stats import ks_2samp

    drifted = 0
    for name, feature in config.columns.features.items():
        before, now = reference[name].dropna(), window[name].dropna()
        if not len(before) or not len(now):
            continue
        if feature.type == "category":
            before, now = _codes(before, now)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # where the exact p-value gives way to the other
            p_value = ks_2samp(before.to_numpy(dtype=float), now.to_numpy(dtype=float)).pvalue
        drifted += bool(p_value < P_VALUE)
    return drifted / len(config.columns.features)


def _codes(before: pd.Series, now: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Categories as numbers: their own, where they are some, otherwise their place in the alphabet."""
    both = pd.concat([before, now])
    numbers = pd.to_numeric(both, errors="coerce")
    if numbers.isna().any():
        numbers = pd.Series(np.unique(both.astype("str"), return_inverse=True)[1])
    return numbers.iloc[: len(before)], numbers.iloc[len(before) :]


def _retrain(
    turn: Turn, span: Span, reason: str, champion: Made, bench: Bench, workshop: Workshop
) -> tuple[Turn, Made | None]:
    turn = replace(turn, event="retrain", reason=reason)
    try:
        made = workshop.make(span.end - bench.stream.length)
    except HomeostatError as error:
        return replace(turn, sentence=str(error)), None
    wrong = gate(made, champion, bench.config)
    if wrong:
        return replace(turn, fitted=True, sentence="the gate refused: " + "; ".join(wrong)), None
    sentence = f"retrained on {made.rows} rows; the gate passed"
    return replace(turn, fitted=True, promoted=True, sentence=sentence), made


def gate(candidate: Made, champion: Made, config: ModelConfig) -> list[str]:
    """What the published gate finds wrong; nothing when it lets the candidate pass."""
    metric = "mae" if config.task == "regression" else "accuracy"
    wrong = []
    if candidate.stored is not None and champion.stored is not None:
        lost = decay(champion.stored, [candidate.stored], metric)
        if lost is not None and lost > -MIN_IMPROVEMENT:
            wrong.append(f"{metric} {candidate.stored:.4g}, stored with the champion {champion.stored:.4g}")
    if candidate.rows <= MIN_ROWS:
        wrong.append(f"{candidate.rows} training rows, more than {MIN_ROWS} are asked for")
    if candidate.nan_rate:
        wrong.append(f"{candidate.nan_rate:.1%} of the answers are missing")
    return wrong
