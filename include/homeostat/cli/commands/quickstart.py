"""quickstart: from a table of rows with labels to a model folder, its backtest and the next commands."""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from homeostat.bundle.boosters.known import BOOSTERS
from homeostat.cli.commands.backtest import in_memory_ports, start_progress_bar
from homeostat.cli.commands.drift_readings import parse_date_formats
from homeostat.cli.commands.quickstart_replay import fit_seconds, plan_replay, with_fewer_rows
from homeostat.cli.console import ProgressLines, err, out, print_json, progress, say, shown_path
from homeostat.config import Settings, format_duration, load_model
from homeostat.config.errors import ConfigError, HomeostatError
from homeostat.config.extras import optional_libraries

if TYPE_CHECKING:
    from homeostat.backtesting import BacktestResult
    from homeostat.scaffold.from_table import NewModel
    from homeostat.scaffold.table_guess import TableGuess, Task

TASKS = ("classification", "regression")


def write_quickstart(  # noqa: PLR0913  # one parameter for each option of the command
    settings: Settings,
    data: str,
    *,
    label: str,
    time: str,
    name: str,
    task: str,
    estimator: str,
    date_formats: Iterable[str],
    backtest: bool,
    as_json: bool,
) -> None:
    """Write the model folder, say what was guessed, replay the table, and print the next commands.

    Raises
    ------
    HomeostatError
        The table cannot be used, the folder exists, the estimator's library is not installed, or the
        backtest fails: then the folder is there.
    """
    from homeostat.scaffold.from_table import model_from_table

    if task and task not in TASKS:
        msg = f"--task {task}: write {' or '.join(TASKS)}"
        raise ConfigError(msg)
    asked: Task | None = "regression" if task == "regression" else "classification" if task else None
    if backtest and estimator in BOOSTERS:
        with optional_libraries():
            importlib.import_module(estimator)
    with err.status(f"looking at {data}"):
        model = model_from_table(
            data,
            settings.models,
            label=label,
            time=time,
            name=name,
            task=asked,
            estimator=estimator,
            date_formats=parse_date_formats(date_formats),
            now=datetime.now(UTC),
        )
    if not as_json:
        _show_guess(model)
    result, sampled = _replay(model) if backtest else (None, [])
    if as_json:
        print_json(_to_json(model, result))
        return
    if result is not None:
        from homeostat.cli.commands.backtest_table import show

        say("")
        show(result)
        for note in [*sampled, *result.notes]:
            out.print(Text(f"note: {note}", "dim"))
    _show_next(settings, model)


def _replay(model: NewModel) -> tuple[BacktestResult, list[str]]:
    """Replay the table in about a minute; return the result, and what was left out for that."""
    from homeostat.backtesting import run_backtest
    from homeostat.cli.commands.backtest_history import read_history
    from homeostat.scaffold.write_model import min_rows_of

    config = load_model(model.folder)
    try:
        rows, notes = read_history(config, model.data)
        with err.status("timing a fit"):
            plan = plan_replay(config, rows, by_time=model.has_times, fit_seconds=fit_seconds)
        with progress("windows") if err.is_terminal else ProgressLines("windows") as bar:
            result = run_backtest(
                with_fewer_rows(config, min_rows_of(len(plan.rows))),
                plan.rows,
                in_memory_ports,
                windows=plan.length,
                reference_share=plan.reference_share,
                jobs=None,
                notes=notes,
                start_progress=lambda policy, steps: start_progress_bar(bar, policy, steps),
            )
    except HomeostatError as error:
        again = f"homeostat backtest {shlex.quote(shown_path(model.folder))} --data {shlex.quote(model.data)}"
        msg = f"{error}\n{shown_path(model.folder)} was written: correct it, then run {again}"
        raise type(error)(msg) from error
    return result, [plan.sentence] if plan.sentence else []


def _show_guess(model: NewModel) -> None:
    guess, pace = model.guess, model.pace
    say(f"Created {shown_path(model.folder)} from {guess.rows:,} rows with a label:")
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("task", Text(_task_words(guess)))
    often = f", about {pace.rows_per_day:,.3g} rows a day" if pace.rows_per_day else ""
    table.add_row("time", Text(f"{guess.timestamp}{often}"))
    table.add_row(
        "label", Text(f"taken to be known {format_duration(pace.delay)} later (schema.label.delay)")
    )
    checks = f"every {format_duration(pace.every)}, over the last {format_duration(pace.window)} (monitor)"
    table.add_row("checks", Text(checks))
    for kind, title in (("number", "numbers"), ("category", "categories")):
        names = [name for name, feature in guess.features.items() if feature.type == kind]
        if names:
            table.add_row(title, Text(", ".join(names)))
    for at, (name, why) in enumerate(guess.left_out.items()):
        table.add_row("" if at else "left out", Text(f"{name}: {why}"))
    out.print(table)
    for note in guess.notes:
        out.print(Text(f"note: {note}", "dim"))
    say(f"All of this is in {shown_path(model.folder / 'model.yaml')}: edit it to change it.")


def _task_words(guess: TableGuess) -> str:
    if guess.task == "regression":
        return f"regression: {guess.label}, compared by {guess.metric}"
    classes = ", ".join(guess.classes[:6]) + (", ..." if len(guess.classes) > 6 else "")
    metric = guess.metric.replace("_", " ")
    return f"classification: {guess.label} is {classes or 'one of many'}, compared by {metric}"


def next_commands(model: NewModel) -> list[tuple[str, str]]:
    """Return the commands that serve and watch the model, and what each does."""
    from homeostat.scaffold.write_model import REQUEST_FILE

    name = model.name
    commands = [
        ("homeostat up", "start MLflow, Airflow and the gateway"),
        (f"homeostat retrain {name}", "in another terminal: train and serve version 1"),
    ]
    if model.pace.newest_window:
        since = f"{model.pace.newest_window[0]:%Y-%m-%dT%H:%MZ}"
        commands += [
            (f"homeostat replay {name} --live --since {since}", "send the newest rows as traffic of now"),
            (
                f"homeostat check {name} --window-end now",
                "check that traffic for drift, as Airflow does regularly",
            ),
        ]
    request = shlex.quote(shown_path(model.folder / REQUEST_FILE))
    sent = f"-H 'Content-Type: application/json' -d @{request}"
    curl = f"curl -i ${{HOMEOSTAT_GATEWAY:-http://127.0.0.1:8000}}/models/{name}/invocations {sent}"
    return [*commands, (curl, "predict one row, at the address that `homeostat up` prints")]


def _show_next(settings: Settings, model: NewModel) -> None:
    say("")
    say("Next, serve and watch it:", "bold")
    if settings.platform_runs:
        say("  (stop `homeostat up` first: it reads the models when it starts)")
    for command, meaning in next_commands(model):
        say(f"  # {meaning}", "dim")
        say(f"  {command}".replace(" -H ", " \\\n       -H "))


def _to_json(model: NewModel, result: BacktestResult | None) -> dict[str, Any]:
    from homeostat.backtesting import to_json

    guess, pace = model.guess, model.pace
    return {
        "model": model.name,
        "folder": str(model.folder),
        "data": model.data,
        "task": guess.task,
        "label": guess.label,
        "classes": list(guess.classes),
        "timestamp": guess.timestamp,
        "features": {name: feature.type for name, feature in guess.features.items()},
        "left_out": dict(guess.left_out),
        "notes": list(guess.notes),
        "every": format_duration(pace.every),
        "window": format_duration(pace.window),
        "delay": format_duration(pace.delay),
        "next": [command for command, _ in next_commands(model)],
        "backtest": None if result is None else to_json(result),
    }
