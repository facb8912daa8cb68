"""Policies on a schedule without a gate: never, after every n-th window, or before given windows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from homeostat.backtesting.policy_run import PolicyRun, Progress, Promotion, WindowResult
from homeostat.backtesting.prediction_cache import PredictionCache
from homeostat.backtesting.version_builder import VersionBuilder
from homeostat.backtesting.version_fitter import BuiltVersion
from homeostat.backtesting.windows import Window
from homeostat.config.errors import HomeostatError


class SimulatedServing:
    """The version that serves, its number, and the run so far."""

    def __init__(self, cache: PredictionCache, first: BuiltVersion) -> None:
        self.champion = first
        self.run = PolicyRun()
        self._cache = cache
        self._number = 1

    def serve(self, window: Window) -> WindowResult:
        """Score the serving version on a window."""
        predictions = self._cache.predictions(self.champion.key, window.index)
        score = self._cache.score([predictions])
        return WindowResult(window, len(predictions.truth), score, str(self._number))

    def add(self, result: WindowResult) -> None:
        """Append a window's result; call it before :meth:`promote`."""
        self.run.add(result, self.champion.key)

    def promote(self, version: BuiltVersion, index: int) -> None:
        """Let another version serve from the window after ``index``."""
        old, self.champion = self.champion, version
        self._number += 1
        self.run.promotions.append(
            Promotion(index, old.key, version.key, str(self._number - 1), str(self._number))
        )


def run_fixed_schedule(
    every: int | None, cache: PredictionCache, builder: VersionBuilder, progress: Progress
) -> PolicyRun:
    """Retrain after every ``every`` windows (None: never) and promote the new version without a gate."""
    windows = len(cache.history.windows)
    starts = range(every, windows + 1, every) if every else ()
    how = f"after every {_ordinal(every)}window" if every else ""
    return run_schedule(starts, how, cache, builder, progress)


def run_schedule(
    starts: Iterable[int], how: str, cache: PredictionCache, builder: VersionBuilder, progress: Progress
) -> PolicyRun:
    """Train a version before each of these windows, and promote it without a gate.

    Parameters
    ----------
    starts
        The windows from which a new version serves; the number of windows stands for the end.
    how
        When that is, in words.
    """
    history, chosen = cache.history, set(starts)
    serving = SimulatedServing(cache, builder.build(history.reference_end))
    for window in history.windows:
        result, built = serving.serve(window), None
        if window.index + 1 in chosen:
            result = replace(result, event="retrain", reason="schedule")
            try:
                built = builder.build(window.end - history.length)
                sentence = f"Retrained on {built.training_rows} rows, as {how}."
                result = replace(result, fitted=True, promoted=True, sentence=sentence)
            except HomeostatError as error:
                result = replace(result, sentence=str(error), refused=str(error))
        serving.add(result)
        if built is not None:
            serving.promote(built, window.index)
        progress()
    return serving.run


def _ordinal(every: int) -> str:
    return "" if every == 1 else {2: "second ", 3: "third "}.get(every, f"{every}th ")
