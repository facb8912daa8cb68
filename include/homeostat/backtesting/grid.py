"""Grid search over the trigger's settings: selected on the first windows, tested on the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from homeostat.backtesting.homeostat_policy import HomeostatPolicy
from homeostat.backtesting.policy_run import PolicyRun, Progress
from homeostat.backtesting.prediction_cache import PredictionCache
from homeostat.config import ModelConfig, format_duration
from homeostat.config.model import Trigger
from homeostat.core.performance import higher_is_better

#: Share of the windows used for selection.
SELECTION_SHARE = 0.6
#: The settings of the trigger that vary, by their key in model.yaml.
TRIGGER_SETTINGS = ("consecutive", "cooldown", "decay", "critical_decay")


@dataclass(frozen=True, slots=True)
class GridTrial:
    """One combination of settings and its result; ``current`` marks the model's own settings."""

    settings: dict[str, Any]
    current: bool
    score: float | None
    retrains: int
    promoted: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "settings": self.settings,
            "current": self.current,
            "score": self.score,
            "retrains": self.retrains,
            "promoted": self.promoted,
        }


@dataclass(frozen=True, slots=True)
class GridSearch:
    """All trials on the selection windows, the chosen one, and both settings on the test windows."""

    trials: tuple[GridTrial, ...]
    chosen: GridTrial
    selection_windows: int
    test_windows: int
    chosen_test: GridTrial
    current_test: GridTrial

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "chosen": self.chosen.settings,
            "chosen_is_current": self.chosen.current,
            "trials": [trial.to_json() for trial in self.trials],
            "test_score": {"chosen": self.chosen_test.score, "current": self.current_test.score},
            "test_retrains": {"chosen": self.chosen_test.retrains, "current": self.current_test.retrains},
            "windows": {"selection": self.selection_windows, "test": self.test_windows},
        }


def trigger_combinations(current: Trigger, length: timedelta) -> list[Trigger]:
    """Return the model's own settings and eight combinations around them, without duplicates.

    Two values each of ``consecutive``, ``cooldown`` (one and four windows) and ``decay``.
    """
    found = [current]
    for consecutive in (2, 4):
        for cooldown in (length, length * 4):
            for decay in (0.05, 0.10):
                settings = {
                    "consecutive": consecutive,
                    "cooldown": cooldown,
                    "decay": decay,
                    "critical_decay": max(current.critical_decay, decay),
                }
                found.append(current.model_copy(update=settings))
    return [trigger for at, trigger in enumerate(found) if trigger not in found[:at]]


def run_grid_search(
    config: ModelConfig,
    cache: PredictionCache,
    current_run: PolicyRun,
    make_policy: Callable[[ModelConfig], HomeostatPolicy],
    progress: Progress,
) -> GridSearch:
    """Replay the first 60 % of the windows with every combination, and the rest with the best one.

    Ties go to fewer retrains, then to the combination that differs least from the model's own settings.
    """
    windows = cache.history.windows
    split = _selection_windows(cache)
    trials: list[GridTrial] = []
    policies: list[HomeostatPolicy | None] = []  # None: the model's own settings, already replayed
    for trigger in trigger_combinations(config.trigger, cache.history.length):
        current = trigger == config.trigger
        policy = None if current else make_policy(config.model_copy(update={"trigger": trigger}))
        run = current_run if policy is None else policy.replay(windows[:split], progress)
        trials.append(_trial(trigger, run, cache, range(split), current=current))
        policies.append(policy)
    best = _best(trials, cache.score_name)
    policy = policies[best]
    chosen_run = current_run if policy is None else policy.replay(windows[split:], progress)
    test = range(split, len(windows))
    return GridSearch(
        trials=tuple(trials),
        chosen=trials[best],
        selection_windows=split,
        test_windows=len(test),
        chosen_test=_trial(config.trigger, chosen_run, cache, test, current=policy is None),
        current_test=_trial(config.trigger, current_run, cache, test, current=True),
    )


def grid_steps(config: ModelConfig, cache: PredictionCache) -> int:
    """Return the maximum number of windows that :func:`run_grid_search` replays."""
    windows, split = len(cache.history.windows), _selection_windows(cache)
    combinations = trigger_combinations(config.trigger, cache.history.length)
    return (len(combinations) - 1) * split + windows - split


def _selection_windows(cache: PredictionCache) -> int:
    return max(1, int(len(cache.history.windows) * SELECTION_SHARE))


def _best(trials: list[GridTrial], score_name: str) -> int:
    """Return the index of the best trial."""
    sign = 1 if higher_is_better(score_name) else -1
    scored = [at for at in range(len(trials)) if trials[at].score is not None] or [0]

    def rank(at: int) -> tuple[float, int, int, int]:
        trial = trials[at]
        changed = sum(value != trials[0].settings[name] for name, value in trial.settings.items())
        return sign * (trial.score or 0.0), -trial.retrains, -changed, -at

    return max(scored, key=rank)


def _trial(
    trigger: Trigger, run: PolicyRun, cache: PredictionCache, indices: range, *, current: bool
) -> GridTrial:
    results = [run.results[index] for index in indices]
    return GridTrial(
        settings=_settings(trigger),
        current=current,
        score=cache.score(cache.predictions(run.keys[index], index) for index in indices),
        retrains=sum(result.fitted for result in results),
        promoted=sum(result.promoted for result in results),
    )


def _settings(trigger: Trigger) -> dict[str, Any]:
    """Return the settings as written in model.yaml."""
    values = {name: getattr(trigger, name) for name in TRIGGER_SETTINGS}
    return values | {"cooldown": format_duration(trigger.cooldown)}
