"""The same windows under every policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pandas as pd

from homeostat.backtest.baseline_policy import article
from homeostat.backtest.fixed_policies import retrain_every
from homeostat.backtest.grid import Grid, steps, try_grid
from homeostat.backtest.homeostat_policy import Loop, MakePorts
from homeostat.backtest.policy_run import Played
from homeostat.backtest.prediction_cache import Bench
from homeostat.backtest.promotion_effects import Judged, judge_promotions
from homeostat.backtest.replay_ports import replay_config, usual_rows
from homeostat.backtest.version_builder import Workshop
from homeostat.backtest.windows import Stream, cut
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError

#: Every policy, in the order of the report.
POLICIES = ("frozen", "always", "every_4", "article", "homeostat")

#: Told how many steps there will be, and of what; answers with what to call after each.
Begin = Callable[[str, int], Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one policy did, and what it was worth: one score over all rows of all windows."""

    played: Played
    score: float | None
    promotions: list[Judged]


@dataclass(frozen=True, slots=True)
class Backtest:
    """All policies on the same windows. ``notes`` are worth knowing before the figures are believed."""

    config: ModelConfig
    stream: Stream
    score_name: str
    outcomes: dict[str, Outcome]
    grid: Grid | None = None
    notes: list[str] = field(default_factory=list)


def backtest(
    config: ModelConfig,
    rows: pd.DataFrame,
    make_ports: MakePorts,
    *,
    windows: int | timedelta | None = None,
    reference_share: float = 0.3,
    grid: bool = False,
    notes: Sequence[str] = (),
    begin: Begin | None = None,
) -> Backtest:
    """Replay a model's history under five policies, with labels that come one window late.

    The first version is made of the reference and is the same for all. A window is answered by the version
    that its policy has serving, and only then looked at.

    Parameters
    ----------
    rows
        The model's columns, sorted by time (UTC).
    make_ports
        Makes the world of one replay, all in memory.
    windows
        So many rows, or so much time, a window; ``monitor.window`` where nothing is said.
    reference_share
        How much of the rows the first version is made of.
    grid
        Try other settings of the trigger as well.

    Raises
    ------
    DataError
        Too few rows or windows, or nothing that a first version can be made of.
    """
    import sklearn.ensemble  # noqa: F401  # loaded now, as only threads of what is loaded can be held back
    from threadpoolctl import threadpool_limits

    # Many small fits: threads that wait for each other cost several times what they save.
    with threadpool_limits(limits=1):
        return _replay(
            config, rows, make_ports, windows, reference_share, grid=grid, notes=notes, begin=begin
        )


def _replay(
    config: ModelConfig,
    rows: pd.DataFrame,
    make_ports: MakePorts,
    windows: int | timedelta | None,
    reference_share: float,
    *,
    grid: bool,
    notes: Sequence[str],
    begin: Begin | None,
) -> Backtest:
    stream = cut(rows, config.columns.timestamp, windows or config.monitor.window, reference_share)
    replayed = replay_config(config, stream)
    notes = [*notes, *_notes(config, replayed, stream)]
    bench = Bench(replayed, stream)
    if not bench.answerable:
        msg = "none of the rows after the reference is usable and labelled: there is nothing to score"
        raise DataError(msg)
    workshop = Workshop(replayed, bench)
    begin = begin or (lambda _what, _steps: lambda: None)
    loop = Loop(replayed, bench, make_ports)  # first: what is wrong with the data is best said by its steps
    plain = {"frozen": None, "always": 1, "every_4": 4}
    count = len(stream.windows)
    played = {
        name: retrain_every(every, bench, workshop, begin(name, count)) for name, every in plain.items()
    }
    played["article"] = article(bench, workshop, begin("article", count))
    played["homeostat"] = loop.run(stream.windows, begin("homeostat", count))
    outcomes = {name: _outcome(played[name], bench) for name in POLICIES}
    tried = None
    if grid:

        def make_loop(other: ModelConfig) -> Loop:
            return Loop(other, bench, make_ports)

        tick = begin("grid", steps(replayed, bench))
        tried = try_grid(replayed, bench, played["homeostat"], make_loop, tick)
    return Backtest(config, stream, bench.score_name, outcomes, tried, notes)


def _outcome(played: Played, bench: Bench) -> Outcome:
    said = [bench.said(key, number) for number, key in enumerate(played.keys)]
    return Outcome(played, bench.score(said), judge_promotions(played, bench))


def _notes(config: ModelConfig, replayed: ModelConfig, stream: Stream) -> list[str]:
    notes = []
    if stream.left_out:
        notes.append(f"{stream.left_out} rows of an incomplete last window are left out")
    least, rows = replayed.monitor.min_rows, usual_rows(stream)
    if least < config.monitor.min_rows:
        notes.append(
            f"a window holds {rows} rows and monitor.min_rows asks for {config.monitor.min_rows}: "
            f"{least} are enough here; lower it if you want to watch windows as short as these"
        )
    if stream.by_rows is not None and config.monitor.season != "none":
        notes.append(
            f"windows of rows have evenly spaced times, so monitor.season ({config.monitor.season}) is off "
            "wherever there are gaps: use a duration such as --windows 7d to have it right"
        )
    return notes
