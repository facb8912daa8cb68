"""Replay the same windows under every policy."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from homeostat.backtesting.assessment import RETRAIN_COST, Assessment, assess, run_comparators
from homeostat.backtesting.baseline_policy import run_baseline
from homeostat.backtesting.fixed_policies import run_fixed_schedule
from homeostat.backtesting.grid import GridSearch, grid_steps, run_grid_search
from homeostat.backtesting.homeostat_policy import HomeostatPolicy, PortsFactory
from homeostat.backtesting.policy_run import PolicyRun, Progress
from homeostat.backtesting.prediction_cache import PredictionCache
from homeostat.backtesting.promotion_effects import PromotionEffect, promotion_effects
from homeostat.backtesting.replay_ports import (
    empty_windows,
    median_window_rows,
    replay_config,
    served_config,
)
from homeostat.backtesting.slice_scores import SliceScores, score_by_slice
from homeostat.backtesting.version_builder import VersionBuilder, fit_tasks
from homeostat.backtesting.windows import SplitHistory, split_history
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.config.positive_class import metric_title
from homeostat.core.performance import guessed_sentence
from homeostat.core.rollout import RolloutPace
from homeostat.retraining.fit_cache import cached_fits

if TYPE_CHECKING:
    from homeostat.backtesting.shifts import Shifts

#: Windows after which the policies on a fixed schedule retrain.
_SCHEDULES = {"frozen": None, "always": 1, "every_4": 4}
#: Every policy, in the order of the report.
POLICIES = (*_SCHEDULES, "baseline", "homeostat")

#: Called with a policy's name and its number of windows; returns what to call after each window.
StartProgress = Callable[[str, int], Progress]


@dataclass(frozen=True, slots=True)
class PolicyOutcome:
    """One policy's run, its score over all rows of all windows, and the effects of its promotions."""

    run: PolicyRun
    score: float | None
    promotions: list[PromotionEffect]


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """All policies on the same windows. ``notes`` are caveats to know before trusting the figures.

    ``shifts`` are its figures over other starts of the windows. ``pace`` is how long a rollout takes, see
    :func:`~homeostat.backtesting.rollout_pace.with_pace`. ``slices`` has the policies' scores in each
    slice of ``monitor.slices``.
    """

    config: ModelConfig
    history: SplitHistory
    score_name: str
    outcomes: dict[str, PolicyOutcome]
    assessment: Assessment
    grid: GridSearch | None = None
    pace: RolloutPace | None = None
    shifts: Shifts | None = None
    notes: list[str] = field(default_factory=list)
    slices: list[SliceScores] = field(default_factory=list)

    @property
    def score_title(self) -> str:
        """Return the name of the score for people, with the class that it is of: ``f1 of 'fraud'``."""
        title = metric_title(self.score_name, self.config.columns.label.positive)
        return self.score_name.replace("_", " ") if title == self.score_name else title


def run_backtest(  # noqa: PLR0913  # one parameter for each option of the command
    config: ModelConfig,
    rows: pd.DataFrame,
    make_ports: PortsFactory,
    *,
    windows: int | timedelta | None = None,
    reference_share: float = 0.3,
    grid: bool = False,
    compare: Sequence[str] = (),
    cost: float = RETRAIN_COST,
    jobs: int | None = 1,
    notes: Sequence[str] = (),
    start_progress: StartProgress | None = None,
) -> BacktestResult:
    """Replay a model's history under five policies, with labels that arrive one window late.

    The first version is trained on the reference and is the same for all policies. A window is scored with
    the versions that its policy serves, before the policy sees the window. Homeostat's candidates go through
    shadow and canary on the rows that follow; the other policies serve a new version from the next window on.

    Parameters
    ----------
    rows
        The model's columns, sorted by time (UTC).
    make_ports
        Builds the in-memory ports of one replay.
    windows
        Window length: a number of rows or a duration (default: ``monitor.window``).
    reference_share
        Share of the rows that the first version is trained on.
    grid
        Also search other settings of the trigger.
    compare
        Names of policies of the literature, see :data:`~homeostat.backtesting.schedule.COMPARATORS`.
    cost
        What a retrain may cost, in points of the score over one window; for a regression as a share of the
        first version's error.
    jobs
        Number of processes that fit versions; the results do not depend on it. None: one for short backtests,
        otherwise one for each core. A script that asks for more than one needs the usual
        ``if __name__ == "__main__":``.

    Raises
    ------
    DataError
        Too few rows or windows, or a reference that no first version can be trained on.
    """
    import sklearn.ensemble  # noqa: F401  # threadpoolctl limits only libraries that are loaded already
    from threadpoolctl import threadpool_limits

    # For many small fits, thread synchronisation costs several times what threads save.
    with (
        threadpool_limits(limits=1),
        tempfile.TemporaryDirectory(prefix="homeostat-backtest-") as folder,
        cached_fits(Path(folder)),
    ):
        history = split_history(
            rows, config.columns.timestamp, windows or config.monitor.window, reference_share
        )
        replayed = replay_config(config, history)
        cache = PredictionCache(replayed, history)
        replayed = cache.config
        start = start_progress or (lambda _policy, _windows: lambda: None)
        served = served_config(config)
        builder = VersionBuilder(replayed, cache, Path(folder), jobs=jobs)
        runs = _run_policies(replayed, served, cache, builder, make_ports, start)
        runs |= run_comparators(compare, cache, builder, cost)
        search = None
        if grid:
            progress = start("grid", grid_steps(replayed, cache))
            search = run_grid_search(
                replayed,
                cache,
                runs["homeostat"],
                lambda other: HomeostatPolicy(other, served, cache, make_ports),
                progress,
            )
        outcomes = {name: _outcome(runs[name], cache) for name in runs}
        assessment = assess(runs, cache, builder, cost)
        slices = score_by_slice(replayed, {name: runs[name] for name in POLICIES}, cache)
    guessed = guessed_sentence(config, replayed)
    told = [text for text in (cache.left_out, guessed) if text]
    all_notes = [*notes, *_notes(config, replayed, history), *told]
    config = config.with_positive(replayed.columns.label.positive)
    return BacktestResult(
        config, history, cache.score_name, outcomes, assessment, search, notes=all_notes, slices=slices
    )


def _run_policies(
    config: ModelConfig,
    served: ModelConfig,
    cache: PredictionCache,
    builder: VersionBuilder,
    make_ports: PortsFactory,
    start: StartProgress,
) -> dict[str, PolicyRun]:
    if not cache.labelled_rows:
        why = f"; {cache.left_out}" if cache.left_out else ""
        msg = f"no row after the reference is valid and labelled: there is nothing to score{why}"
        raise DataError(msg)
    # First, because the retrain's own steps report problems of the data best.
    homeostat = HomeostatPolicy(config, served, cache, make_ports)
    windows = cache.history.windows
    builder.fit_all(start("fits", len(fit_tasks(cache.history))))
    runs = {
        name: run_fixed_schedule(every, cache, builder, start(name, len(windows)))
        for name, every in _SCHEDULES.items()
    }
    runs["baseline"] = run_baseline(cache, builder, start("baseline", len(windows)))
    runs["homeostat"] = homeostat.replay(windows, start("homeostat", len(windows)))
    return runs


def _outcome(run: PolicyRun, cache: PredictionCache) -> PolicyOutcome:
    predictions = [cache.predictions(key, index) for index, key in enumerate(run.keys)]
    return PolicyOutcome(run, cache.score(predictions), promotion_effects(run, cache))


def _notes(config: ModelConfig, replayed: ModelConfig, history: SplitHistory) -> list[str]:
    notes = []
    if history.dropped_rows:
        notes.append(f"{history.dropped_rows} rows of an incomplete last window are left out")
    empty = empty_windows(history)
    if 2 * empty > len(history.windows):
        notes.append(
            f"{empty} of {len(history.windows)} windows have no row: check the times in "
            f"'{history.timestamp}', or give longer --windows"
        )
    used, rows = replayed.monitor.min_rows, median_window_rows(history)
    if used < config.monitor.min_rows:
        notes.append(
            f"a window has {rows} rows, fewer than monitor.min_rows ({config.monitor.min_rows}): this "
            f"backtest uses {used}; lower monitor.min_rows to monitor windows of this length"
        )
    if history.rows_per_window is not None and config.monitor.season != "none":
        notes.append(
            f"windows of rows get evenly spaced times, so monitor.season ({config.monitor.season}) is "
            "shifted after every gap: use a duration such as --windows 7d to keep it right"
        )
    return notes
