"""Versions for the policies without a registry: each is fitted once, in one process or in several."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
import pandas as pd

from homeostat.backtesting.policy_run import Progress
from homeostat.backtesting.prediction_cache import PredictionCache
from homeostat.backtesting.schedule import ScoreMatrix
from homeostat.backtesting.version_fitter import BuiltVersion, FitFailure, VersionFitter, snapshot_of
from homeostat.backtesting.windows import SplitHistory
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError, PipelineError
from homeostat.core.profile.parallel import available_cores
from homeostat.retraining.fit_cache import cached_fits, use_folder

#: Without --jobs, several processes start when the fits would take longer than this in one, in seconds.
WORTH_PROCESSES = 20.0
#: Without --jobs there are at most so many: each needs the memory of its own copy of the libraries.
MOST_PROCESSES = 4

#: The fitter of this process, where it is one of several.
_fitter: VersionFitter | None = None


class VersionBuilder:
    """The versions that are trained after every window; all policies share them.

    Parameters
    ----------
    folder
        Where their predictions are kept.
    jobs
        Number of processes; the result is the same whatever it is. None: one for short backtests, otherwise
        one for each core, at most :data:`MOST_PROCESSES`.
    """

    def __init__(
        self,
        config: ModelConfig,
        cache: PredictionCache,
        folder: Path,
        *,
        jobs: int | None = 1,
    ) -> None:
        self._config = config
        self._cache = cache
        self._folder = folder
        self._jobs = jobs
        self._built: dict[datetime, BuiltVersion | FitFailure] = {}

    def fit_all(self, progress: Progress) -> None:
        """Fit the first version and one after every window; labels arrive one window late.

        Raises
        ------
        PipelineError
            A process ended before its work was done.
        """
        tasks = fit_tasks(self._cache.history)
        with cached_fits(self._folder):
            self._fit_tasks(tasks, progress)

    def _fit_tasks(self, tasks: list[tuple[datetime, int]], progress: Progress) -> None:
        for (known_until, _), built in zip(tasks, self._fits(tasks), strict=True):
            self._built[known_until] = built
            if isinstance(built, BuiltVersion):
                self._cache.add_stored(built.key, built.stored)
            progress()

    def build(self, known_until: datetime) -> BuiltVersion:
        """Return the version that was fitted on the rows whose labels are known at ``known_until``.

        Raises
        ------
        DataError
            It could not be trained.
        """
        built = self._built[known_until]
        if isinstance(built, FitFailure):
            raise DataError(built.message)
        return built

    def training_data(self, built: BuiltVersion) -> pd.DataFrame:
        """Return the rows that a version was trained on, with its holdout."""
        snapshot = snapshot_of(self._config, self._cache.history, built.known_until)
        return pd.concat([snapshot.train, snapshot.holdout], ignore_index=True)

    def matrix(self, counted: np.ndarray) -> ScoreMatrix:
        """Return the losses of every version in every later window.

        Parameters
        ----------
        counted
            Which windows count, shape (windows,).
        """
        history, bounds = self._cache.history, self._cache.bounds()
        losses = np.full((len(history.windows), len(history.windows)), np.nan)
        for index in range(len(history.windows)):
            built = self._built[known_before(history, index)]
            if isinstance(built, BuiltVersion):
                losses[index, index:] = built.losses[index:]
        return ScoreMatrix.of(losses, np.where(counted, np.diff(bounds), 0))

    def _fits(self, tasks: list[tuple[datetime, int]]) -> Iterator[BuiltVersion | FitFailure]:
        fitter = VersionFitter(self._config, self._cache, self._folder)
        jobs, begun = self._jobs, time.monotonic()
        first = fitter.fit(*tasks[0])
        yield first
        # The first version chooses the members, and these are compared: not how well they are chosen.
        members = first.chosen if isinstance(first, BuiltVersion) else None
        done = 1
        if parent_process() is not None:  # a script without `if __name__ == "__main__":` runs again here
            jobs = 1
        cores = min(MOST_PROCESSES, available_cores())
        while jobs is None and done < len(tasks):
            yield fitter.fit(*tasks[done], members)
            done += 1
            left = (time.monotonic() - begun) / done * (len(tasks) - done)
            if left > WORTH_PROCESSES:
                jobs = cores
        if jobs is None or jobs == 1:
            for task in tasks[done:]:
                yield fitter.fit(*task, members)
            return
        arguments = (self._config, self._cache.history, self._folder)
        # Not forked: a copy of a process in which OpenMP has run threads hangs in its first parallel loop.
        with ProcessPoolExecutor(jobs, get_context("spawn"), _start, arguments) as pool:
            try:
                yield from pool.map(_fit, [(*task, members) for task in tasks[done:]])
            except BrokenProcessPool:
                msg = (
                    "a process that fits versions ended before its work was done, perhaps for lack of "
                    f"memory: try --jobs 1 (now {jobs})"
                )
                raise PipelineError(msg) from None
            finally:
                pool.shutdown(cancel_futures=True)


def known_before(history: SplitHistory, index: int) -> datetime:
    """Return until when labels are known when the version is trained that serves window ``index`` first."""
    return history.reference_end if index == 0 else history.windows[index - 1].end - history.length


def fit_tasks(history: SplitHistory) -> list[tuple[datetime, int]]:
    """Return until when each version's labels are known, and the first window that it may serve."""
    found: dict[datetime, int] = {}
    for index in range(len(history.windows) + 1):
        found.setdefault(known_before(history, index), index)
    return list(found.items())


def _start(config: ModelConfig, history: SplitHistory, folder: Path) -> None:
    import sklearn.ensemble  # noqa: F401  # threadpoolctl limits only libraries that are loaded already
    from threadpoolctl import threadpool_limits

    global _fitter  # noqa: PLW0603  # how an initializer hands over to the tasks of its process
    threadpool_limits(limits=1)
    use_folder(folder)
    _fitter = VersionFitter(config, PredictionCache(config, history), folder)


def _fit(task: tuple[datetime, int, tuple[str, ...] | None]) -> BuiltVersion | FitFailure:
    assert _fitter is not None  # noqa: S101  # the initializer ran
    return _fitter.fit(*task)
