"""The backtest command: replay a model's history under five policies before deployment."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from homeostat.cli.console import ProgressLines, err, print_json, progress, say
from homeostat.config import ModelConfig, load_model
from homeostat.config.errors import ConfigError, DataError
from homeostat.ports import Clock, Ports, Source

if TYPE_CHECKING:
    import pandas as pd
    from rich.progress import Progress

    from homeostat.backtesting import BacktestResult
    from homeostat.backtesting.run import StartProgress
    from homeostat.core.rollout import TrafficRate

_PROGRESS_LABELS = {
    "fits": "fitting versions",
    "frozen": "never retrain",
    "always": "every window",
    "every_4": "every 4th window",
    "baseline": "baseline",
    "homeostat": "Homeostat",
    "grid": "trigger settings",
}


def backtest_model(  # noqa: PLR0913  # one parameter for each option of the command
    model: Path,
    data: str | None,
    *,
    reference_share: float,
    windows: str,
    spacing: str,
    grid: bool,
    rows_per_hour: float | None = None,
    compare: str = "",
    cost: float | None = None,
    jobs: int | None = None,
    shifts: int = 0,
    as_json: bool,
    html: Path | None,
) -> None:
    """Replay the history; print a table or JSON, and write the HTML report if requested.

    Raises
    ------
    HomeostatError
        The model or its history cannot be used; the message says how to fix it.
    """
    from homeostat.backtesting import to_json
    from homeostat.cli.commands.rollout_pace import given_rate

    given = given_rate(rows_per_hour)
    config = load_model(model)
    with progress("windows") if err.is_terminal else ProgressLines("windows") as bar:
        result, notes = replay_history(
            config,
            data,
            reference_share=reference_share,
            windows=windows,
            spacing=spacing,
            grid=grid,
            rate=given,
            compare=compare,
            cost=cost,
            jobs=jobs,
            shifts=shifts,
            start_progress=lambda policy, steps: start_progress_bar(bar, policy, steps),
        )
    # What was read differently from what is in the file comes last, where it is seen.
    for note in sorted(result.notes, key=lambda note: note in notes):
        err.print(f"note: {note}", style="dim", markup=False, highlight=False, soft_wrap=True)
    if html:
        _write_page(html, result)
    if as_json:
        print_json(to_json(result))
        return
    from homeostat.cli.commands.backtest_table import show

    show(result)
    if html:
        say(f"report: {html}", "dim")


def replay_history(  # noqa: PLR0913  # one parameter for each option of the command
    config: ModelConfig,
    data: str | None,
    *,
    reference_share: float = 0.3,
    windows: str = "",
    spacing: str = "",
    grid: bool = False,
    rate: TrafficRate | None = None,
    compare: str = "",
    cost: float | None = None,
    jobs: int | None = 1,
    shifts: int = 0,
    start_progress: StartProgress | None = None,
) -> tuple[BacktestResult, list[str]]:
    """Return the replay of a history, and notes on how it was read; see ``homeostat backtest --help``.

    Raises
    ------
    HomeostatError
        An option is out of its range, or the model or its history cannot be used.
    """
    from homeostat.backtesting import RETRAIN_COST, parse_windows, run_backtest, run_shifts, with_pace
    from homeostat.cli.commands.backtest_history import read_history, read_own_history

    _check_options(reference_share, cost, jobs, shifts)
    length = parse_windows(windows) if windows else None
    rows, notes = read_history(config, data, spacing) if data else read_own_history(config, spacing)
    names, window = _comparators(compare), length or config.monitor.window

    def run(some: pd.DataFrame, *, search: bool = False) -> BacktestResult:
        return run_backtest(
            config,
            some,
            in_memory_ports,
            windows=window,
            reference_share=reference_share,
            grid=search,
            compare=names,
            cost=RETRAIN_COST if cost is None else cost,
            jobs=jobs,
            notes=notes,
            start_progress=start_progress,
        )

    result = run(rows, search=grid)
    if shifts:
        result = replace(result, shifts=run_shifts(result, rows, window, shifts, run))
    return with_pace(result, rate), notes


def _check_options(reference_share: float, cost: float | None, jobs: int | None, shifts: int) -> None:
    if not 0 < reference_share < 1:
        msg = f"--reference-share {reference_share:g}: write a share of the rows between 0 and 1, such as 0.3"
        raise ConfigError(msg)
    if cost is not None and not 0 <= cost < math.inf:
        msg = f"--cost {cost:g}: write what a retrain may cost, in points of the metric, such as 0.005"
        raise ConfigError(msg)
    if jobs is not None and jobs < 1:
        msg = f"--jobs {jobs}: write a number of processes of at least 1"
        raise ConfigError(msg)
    if shifts < 0:
        msg = f"--shifts {shifts}: write a number of further starts, such as 3"
        raise ConfigError(msg)


def _comparators(text: str) -> list[str]:
    """Return the names in ``--compare``, which are separated by commas; ``all`` is every one."""
    from homeostat.backtesting.schedule import COMPARATORS

    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        return list(COMPARATORS)
    for name in names:
        if name not in COMPARATORS:
            msg = f"--compare {name}: there is no such policy; choose of {', '.join(COMPARATORS)}, or all"
            raise ConfigError(msg)
    return list(dict.fromkeys(names))


def start_progress_bar(bar: Progress | ProgressLines, policy: str, steps: int) -> Callable[[], None]:
    """Begin a policy's task; return what to call after each of its steps."""
    task = bar.add_task(_PROGRESS_LABELS.get(policy, policy), total=steps)
    return lambda: bar.advance(task)


def in_memory_ports(clock: Clock, source: Source) -> Ports:
    """Return the ports of one replay: nothing leaves this process."""
    from homeostat.adapters import fake_ports
    from homeostat.config import Settings

    trusted = Settings.from_env().trusted_types
    return replace(
        fake_ports(clock=clock, source=source),
        renders_figures=False,
        times_versions=False,
        bundle_cache={},
        trusted_types=trusted,
    )


def _write_page(html: Path, result: BacktestResult) -> None:
    from homeostat.cli.commands.backtest_page import render_page

    try:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(render_page(result), encoding="utf-8")
    except OSError as error:
        msg = f"{html} cannot be written: {error.strerror}; choose another file for --html"
        raise DataError(msg) from error
