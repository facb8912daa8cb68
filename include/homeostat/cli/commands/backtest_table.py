"""A backtest for people in a terminal: the policies side by side, and what follows from them."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from homeostat.backtest import Backtest, gain, sentences, shown
from homeostat.backtest.grid import Grid, Tried
from homeostat.cli.console import out
from homeostat.config import format_duration
from homeostat.figures import NAMES


def show(found: Backtest, console: Console = out) -> None:
    """Print the table, the sentences and, where settings were tried, those."""
    stream = found.stream
    length = f"{stream.by_rows} rows" if stream.by_rows else format_duration(stream.length)
    head = f"{found.config.name}: {len(stream.windows)} windows of {length}"
    console.print(Text.assemble((head, "bold"), f" after {stream.reference_rows:,} rows of reference"))
    console.print(_table(found))
    if found.grid is not None:
        console.print(_grid(found, found.grid))
    for sentence in sentences(found):
        console.print(Text(sentence))


def difference(value: float | None, *, small: bool) -> str:
    """A difference with its sign; a dash when there is none."""
    if value is None:
        return "-"
    return f"{value:+.3f}" if small else f"{value:+.4g}"


def _table(found: Backtest) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("policy", no_wrap=True)
    for name in (found.score_name, "vs never", "retrains", "promoted", "refused"):
        table.add_column(name, justify="right")
    for name, outcome in found.outcomes.items():
        played = outcome.played
        more = None if name == "frozen" else gain(found, outcome)
        table.add_row(
            NAMES[name],
            shown(found, outcome.score),
            Text(
                difference(more, small=found.score_name != "mae"),
                "" if more is None else "green" if more > 0 else "red",
            ),
            str(played.retrains),
            str(played.promoted),
            str(played.refused),
            style="bold" if name == "homeostat" else "",
        )
    return table


def _grid(found: Backtest, grid: Grid) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
        title=f"other settings, on the first {grid.first_windows} windows",
        title_justify="left",
    )
    for name in ("consecutive", "cooldown", "decay", "critical", found.score_name, "retrains"):
        table.add_column(name, justify="right")
    table.add_column("")
    for tried in grid.first_part:
        table.add_row(*settings(tried), shown(found, tried.score), str(tried.retrains), mark(tried, grid))
    return table


def settings(tried: Tried) -> list[str]:
    """The values of the trigger's settings, in the order of the table."""
    return [str(value) for value in tried.settings.values()]


def mark(tried: Tried, grid: Grid) -> str:
    """What is special about a combination."""
    words = ["own"] if tried.own else []
    return ", ".join([*words, "chosen"] if tried is grid.chosen else words)
