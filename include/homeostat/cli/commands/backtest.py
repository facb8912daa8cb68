"""backtest: a model's history under five policies, before anything is deployed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from homeostat.cli.console import err, print_json, progress, say
from homeostat.config import load_model
from homeostat.config.errors import ConfigError, DataError
from homeostat.ports import Clock, Ports, Source

if TYPE_CHECKING:
    from rich.progress import Progress

    from homeostat.backtest import Backtest

_SAID = {
    "frozen": "never retrain",
    "always": "retrain every window",
    "every_4": "every 4th window",
    "article": "the article's policy",
    "homeostat": "Homeostat",
    "grid": "other settings",
}


def backtest_model(
    model: Path,
    data: Path,
    *,
    reference_share: float,
    windows: str,
    spacing: str,
    grid: bool,
    as_json: bool,
    html: Path | None,
) -> None:
    """Replay the history and say, print or draw what came of it.

    Raises
    ------
    HomeostatError
        The model or its history cannot be used; the message says the cure.
    """
    from homeostat import backtest as room
    from homeostat.cli.commands.backtest_rows import read_history

    if not 0 < reference_share < 1:
        msg = f"--reference-share {reference_share:g}: write a share of the rows between 0 and 1, such as 0.3"
        raise ConfigError(msg)
    config = load_model(model)
    length = room.parse_windows(windows) if windows else None
    rows, notes = read_history(config, data, spacing)
    with progress("windows") as bar:
        found = room.backtest(
            config,
            rows,
            _in_memory,
            windows=length,
            reference_share=reference_share,
            grid=grid,
            notes=notes,
            begin=lambda what, steps: _begin(bar, what, steps),
        )
    for note in found.notes:
        err.print(f"note: {note}", style="dim", markup=False, highlight=False, soft_wrap=True)
    if html:
        _write(html, found)
    if as_json:
        print_json(room.to_json(found))
        return
    from homeostat.cli.commands.backtest_table import show

    show(found)
    if html:
        say(f"report: {html}", "dim")


def _begin(bar: Progress, what: str, steps: int) -> Callable[[], None]:
    task = bar.add_task(_SAID[what], total=steps)
    return lambda: bar.advance(task)


def _in_memory(clock: Clock, source: Source) -> Ports:
    from homeostat.adapters import fake_ports
    from homeostat.config import Settings

    trusted = Settings.from_env().trusted_types
    return replace(fake_ports(clock=clock, source=source), pictures=False, loaded={}, trusted_types=trusted)


def _write(html: Path, found: Backtest) -> None:
    from homeostat.cli.commands.backtest_page import page_of

    try:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(page_of(found), encoding="utf-8")
    except OSError as error:
        msg = f"{html} cannot be written: {error.strerror}; give --html another file"
        raise DataError(msg) from error
