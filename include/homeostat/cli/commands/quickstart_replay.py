"""Choose rows and windows of a replay so that it takes about a minute on files of usual size."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter

import pandas as pd

from homeostat.config import ModelConfig, format_duration

#: Rows and windows of a replay, at most; a wide table or a slow pipeline gets fewer.
MAX_ROWS, MAX_WINDOWS, MIN_WINDOWS = 12_000, 16, 4
#: Seconds for one fit per window. Those of all policies, probes and members take about eight times as long.
FIT_SECONDS = 8.0
#: Share of the rows that the first version is trained on; of a short table as much as gives enough rows.
REFERENCE_SHARE, MAX_REFERENCE_SHARE, REFERENCE_ROWS = 0.3, 0.7, 150
#: Fewer rows than this are not thinned out further.
_LEAST_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """The rows to replay, the length of a window, and the sentence on what differs from the table."""

    rows: pd.DataFrame
    length: int | timedelta
    reference_share: float
    sentence: str


def plan_replay(
    config: ModelConfig,
    rows: pd.DataFrame,
    *,
    by_time: bool,
    fit_seconds: Callable[[ModelConfig, pd.DataFrame], float],
) -> ReplayPlan:
    """Plan the replay of a table.

    Parameters
    ----------
    by_time
        Whether windows are cut by time; otherwise by rows.
    fit_seconds
        How long one fit on some of the rows takes: :func:`fit_seconds`.
    """
    thin = _some(rows, MAX_ROWS)
    seconds = fit_seconds(config, thin.iloc[: len(thin) - _after(thin)])
    windows = int(min(MAX_WINDOWS, max(MIN_WINDOWS, FIT_SECONDS / max(seconds, 1e-9))))
    excess = seconds * windows / FIT_SECONDS
    if excess > 1:
        thin = _some(thin, max(_LEAST_ROWS, int(len(thin) / excess)))
    windows = max(MIN_WINDOWS, min(windows, _after(thin) // config.monitor.min_rows))
    length = _window_length(config, thin, windows, by_time=by_time)
    return ReplayPlan(thin, length, _share(len(thin)), _sentence(config, len(rows), len(thin), length))


def with_fewer_rows(config: ModelConfig, least: int) -> ModelConfig:
    """Return the configuration that trains on as few rows as ``least``: some rows of a table have fewer."""
    training = {"min_rows": min(config.training.min_rows, least)}
    gate = {"min_training_rows": min(config.gate.min_training_rows, least)}
    return config.model_copy(
        update={
            "training": config.training.model_copy(update=training),
            "gate": config.gate.model_copy(update=gate),
        }
    )


def fit_seconds(config: ModelConfig, rows: pd.DataFrame) -> float:
    """Return how long the pipeline takes to fit these rows; 0 where it fails, as the backtest will."""
    import sklearn.ensemble  # noqa: F401  # threadpoolctl limits only libraries that are loaded already
    from threadpoolctl import threadpool_limits

    from homeostat.bundle.pipeline import load_pipeline
    from homeostat.core.training_data.coercion import coerce_rows

    typed = coerce_rows(rows, config, label=True).rows
    try:
        estimator = load_pipeline(config)()
        with threadpool_limits(limits=1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            begun = perf_counter()
            estimator.fit(typed[list(config.feature_names)], typed[config.columns.label.name])
    except Exception:  # noqa: BLE001  # whatever a user's pipeline raises: the backtest names the line
        return 0.0
    return perf_counter() - begun


def _some(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return so many rows, in their order, always the same: every k-th might always be of the same hour."""
    if len(rows) <= most:
        return rows
    return rows.sample(n=most, random_state=0).sort_index().reset_index(drop=True)


def _window_length(
    config: ModelConfig, rows: pd.DataFrame, windows: int, *, by_time: bool
) -> int | timedelta:
    """Return the length of so many windows after the reference: whole monitor windows, or rows."""
    after = _after(rows)
    if by_time:
        times, window = rows[config.columns.timestamp], config.monitor.window
        span: timedelta = (times.iloc[-1] - times.iloc[-after]).to_pytimedelta()
        length = window * max(1, -(-span // (window * windows)))
        if span >= (MIN_WINDOWS - 1) * length:
            return length
    return max(1, after // windows)


def _after(rows: pd.DataFrame) -> int:
    """Return how many rows follow the reference."""
    return len(rows) - int(len(rows) * _share(len(rows)))


def _share(rows: int) -> float:
    """Return the share of so many rows that the first version is trained on."""
    return min(MAX_REFERENCE_SHARE, max(REFERENCE_SHARE, REFERENCE_ROWS / rows))


def _sentence(config: ModelConfig, rows: int, replayed: int, length: int | timedelta) -> str:
    parts = []
    if replayed < rows:
        parts.append(f"replays {replayed:,} of the {rows:,} rows, drawn at random,")
    if not isinstance(length, int) and length > config.monitor.window:
        usual = format_duration(config.monitor.window)
        parts.append(f"has windows of {format_duration(length)} instead of {usual} (monitor.window)")
    if not parts:
        return ""
    return f"to take about a minute, this backtest {' and '.join(parts)}; `homeostat backtest` replays all"
