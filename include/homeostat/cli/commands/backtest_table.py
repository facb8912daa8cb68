"""A backtest in the terminal: the policies in a table, the grid search, and the summary."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from homeostat.backtesting import BacktestResult, format_score, gain, score_gain, summarize
from homeostat.backtesting.grid import GridSearch, GridTrial
from homeostat.backtesting.run import POLICIES
from homeostat.cli.console import out
from homeostat.config import format_duration
from homeostat.figures import POLICY_NAMES


def show(result: BacktestResult) -> None:
    """Print the policies, the grid search if there is one, and the summary."""
    history = result.history
    head = f"{result.config.name}: {len(history.windows)} windows of {window_length(result)}"
    out.print(Text.assemble((head, "bold"), f" after a reference of {history.reference_rows:,} rows"))
    out.print(_policies(result))
    if result.slices:
        out.print(_slices(result))
    if result.grid is not None:
        out.print(_grid(result, result.grid))
    if result.assessment.comparison:
        out.print(_comparison(result))
    for line in summarize(result):
        out.print(Text(line))


def window_length(result: BacktestResult) -> str:
    """Format the length of a window."""
    history = result.history
    return f"{history.rows_per_window} rows" if history.rows_per_window else format_duration(history.length)


def format_gain(result: BacktestResult, value: float | None) -> str:
    """Format a difference of scores with its sign; "-" for None."""
    if value is None:
        return "-"
    return f"{value:+.4g}" if result.score_name == "mae" else f"{value:+.3f}"


def gain_sign(value: float | None) -> int:
    """Return 1 for a better score, -1 for a worse one, 0 for an equal one or None."""
    return 0 if value is None else (value > 0) - (value < 0)


def trial_settings(trial: GridTrial) -> list[str]:
    """Return the values of the trigger's settings, in the order of the table."""
    return [str(value) for value in trial.settings.values()]


def trial_marks(trial: GridTrial, grid: GridSearch) -> str:
    """Mark the model's own settings and the chosen ones."""
    marks = [("current", trial.current), ("chosen", trial is grid.chosen)]
    return ", ".join(name for name, applies in marks if applies)


def _policies(result: BacktestResult) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))  # all columns fit into 80
    table.add_column("policy", no_wrap=True)
    for name in (result.score_title, "vs never", "retrains\n+ probes", "promoted", "refused", "rolled back"):
        table.add_column(name, justify="right")
    for name, outcome in result.outcomes.items():
        difference = None if name == "frozen" else gain(result, outcome)
        colour = {1: "green", -1: "red"}.get(gain_sign(difference), "")
        table.add_row(
            POLICY_NAMES[name],
            format_score(result, outcome.score),
            Text(format_gain(result, difference), colour),
            f"{outcome.run.retrains} + {outcome.run.probes}"
            if outcome.run.probes
            else str(outcome.run.retrains),
            str(outcome.run.promoted),
            str(outcome.run.refused),
            str(len(outcome.run.rolled_back)),
            style="bold" if name == "homeostat" else "",
        )
    for title, score, retrains in limit_rows(result):
        difference = score_gain(result, score)
        colour = {1: "green", -1: "red"}.get(gain_sign(difference), "")
        own, beside = format_score(result, score), Text(format_gain(result, difference), colour)
        table.add_row(title, own, beside, str(retrains), "-", "-", "-")
    return table


def _slices(result: BacktestResult) -> Table:
    """Return every policy's score in each slice."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("slice")
    for name in ("rows", *(POLICY_NAMES[policy] for policy in result.outcomes if policy in POLICIES)):
        table.add_column(name, justify="right")
    for each in result.slices:
        scores = (format_score(result, score) for score in each.scores.values())
        table.add_row(each.name, f"{each.rows:,}", *scores)
    return table


def limit_rows(result: BacktestResult) -> list[tuple[str, float | None, int]]:
    """Return name, score and retrains of the schedules with as many retrains as Homeostat; [] without any."""
    found = result.assessment
    if not found.limit.retrains:
        return []
    return [
        ("spread evenly", found.even_score, len(found.limit.even)),
        ("in hindsight", found.hindsight_score, len(found.limit.hindsight)),
    ]


def _comparison(result: BacktestResult) -> Table:
    found = result.assessment.comparison
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
        title=f"{result.score_title} less the cost of retrains",
        title_justify="left",
    )
    table.add_column("policy", no_wrap=True)
    for cost in found:
        table.add_column(f"{cost:g}", justify="right")
    for name in result.outcomes:
        cells = [
            f"{format_score(result, each.net)}, {each.retrains}"
            for each in (policies[name] for policies in found.values())
        ]
        table.add_row(POLICY_NAMES[name], *cells, style="bold" if name == "homeostat" else "")
    return table


def _grid(result: BacktestResult, grid: GridSearch) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
        title=f"trigger settings, on the first {grid.selection_windows} windows",
        title_justify="left",
    )
    for name in ("consecutive", "cooldown", "decay", "critical", result.score_title, "retrains"):
        table.add_column(name, justify="right")
    table.add_column("")
    for trial in grid.trials:
        score, retrains = format_score(result, trial.score), str(trial.retrains)
        table.add_row(*trial_settings(trial), score, retrains, trial_marks(trial, grid))
    return table
