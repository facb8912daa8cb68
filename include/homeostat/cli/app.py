"""The command line: ``homeostat COMMAND --help`` says what each does and shows an example."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from homeostat.config import Settings
from homeostat.config.errors import HomeostatError
from homeostat.config.redaction import masker

app = typer.Typer(
    name="homeostat",
    help="Keeps machine-learning models healthy: monitor, retrain, gate, canary, promote or roll back.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
err = Console(stderr=True)

Model = Annotated[str, typer.Argument(help="The model's name: its folder in include/models.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the history for good.")]


P = ParamSpec("P")
R = TypeVar("R")


def plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Turn an error that a person can put right into its sentence and exit status 1, without a traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except HomeostatError as error:
            said = masker()(str(error))
            err.print(Text.assemble((type(error).__name__, "bold red"), f": {said}"), soft_wrap=True)
            raise typer.Exit(1) from None

    return run


@app.command()
@plainly
def up(
    *,
    keep_ports: Annotated[
        bool, typer.Option(help="Try the well-known ports (8080, 5000, 8000) before free ones.")
    ] = True,
) -> None:
    """Start the platform on this machine: MLflow, Airflow and the gateway. Ctrl-C stops it.

    Everything is kept in `.homeostat` (or $HOMEOSTAT_STATE) and is there again at the next start.
    """
    from homeostat.dev_stack.up import run_up

    run_up(Settings.from_env(), Console(), keep_ports=keep_ports)


@app.command()
@plainly
def demo(
    *,
    model: Annotated[str, typer.Option(help="The model whose story is told.")] = "pump_fault",
    data: Annotated[
        Path | None,
        typer.Option(help="The file with the model's rows, where it needs one.", exists=True, dir_okay=False),
    ] = None,
    leave: Annotated[
        bool,
        typer.Option("--exit", help="End when the story is told; status 0 only if every stage went well."),
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Write what happened to this file, as JSON.")] = None,
) -> None:
    """Watch the loop close by itself: drift, retrain, canary, promotion, and a bad version taken back.

    Example: `homeostat demo --model bike_demand --data hour.csv --exit --report r.json`
    """
    from homeostat.demo import run_demo

    ok = run_demo(Settings.from_env(), model=model, data=data, leave=leave, report=report, console=Console())
    raise typer.Exit(0 if ok else 1)


@app.command()
@plainly
def replay(
    model: Model,
    data: Annotated[
        Path | None,
        typer.Argument(help="CSV or Parquet with the model's columns. Default: the model's own source."),
    ] = None,
    *,
    since: Annotated[str, typer.Option(help="Rows from this time on, such as 2026-01-05T07:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Rows before this time.")] = "",
    rate: Annotated[
        float | None, typer.Option(help="Rows a second; as fast as it goes when not given.")
    ] = None,
    concurrency: Annotated[int, typer.Option(help="Connections at a time.", min=1)] = 8,
    as_json: AsJson = False,
) -> None:
    """Send rows as live traffic; labels follow as late as model.yaml says.

    Example: `homeostat replay bike_demand rows.csv --rate 50`
    """
    from homeostat.cli.commands import replay_rows

    replay_rows(
        Settings.from_env(),
        model,
        data,
        between=(since, until),
        rate=rate,
        concurrency=concurrency,
        as_json=as_json,
    )


@app.command()
@plainly
def check(
    model: Model,
    *,
    window_end: Annotated[
        str, typer.Option(help="End of the window, such as 2026-01-05T07:00Z. Default: the last whole hour.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Check one window for drift now, as the hourly DAG does, and record it in MLflow.

    Example: `homeostat check pump_fault --window-end 2026-01-05T07:00Z`
    """
    from homeostat.cli.commands import check_now

    check_now(Settings.from_env(), model, window_end, as_json=as_json)


@app.command()
@plainly
def drift(
    *,
    reference: Annotated[
        str, typer.Option(help="What the data used to look like. A file or folder, or s3://.")
    ],
    current: Annotated[str, typer.Option(help="The data in question.")],
    config: Annotated[
        Path | None, typer.Option(help="A model's model.yaml, or its folder: types, features, thresholds.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with pictures to this file.")] = None,
    fail_on_drift: Annotated[
        bool, typer.Option("--fail-on-drift", help="End with status 1 unless the verdict is pass.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two tables column by column: CSV or Parquet, a file or a folder. Needs no server and no model.

    Example: `homeostat drift --reference january.parquet --current february.parquet --html drift.html`

    A column alerts when its distribution shifted (corrected p below 0.05 *and* an effect of 0.1 or more),
    when it has values never seen before, or more missing ones. All together are called drifted when 30 % of
    the columns are.
    """
    from homeostat.cli.commands import compare_files

    compare_files(reference, current, config=config, as_json=as_json, html=html, fail_on_drift=fail_on_drift)


@app.command()
@plainly
def backtest(
    model: Annotated[Path, typer.Argument(help="The model's folder, with its model.yaml.")],
    *,
    data: Annotated[
        Path,
        typer.Option(help="The model's history with labels: CSV, Parquet, or the file its loader reads."),
    ],
    reference_share: Annotated[
        float, typer.Option(help="How much of the rows the first version is made of.")
    ] = 0.3,
    windows: Annotated[
        str, typer.Option(help="A window's length: 168rows or 7d. Default: monitor.window.")
    ] = "",
    spacing: Annotated[
        str, typer.Option(help="How far apart rows are, where the file has no times. Default: 1h.")
    ] = "",
    grid: Annotated[
        bool,
        typer.Option("--grid", help="Try other settings of the trigger, and score them on unseen windows."),
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write a report with a picture to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Replay a model's history: what would have fired or been refused, and how good the answers were.

    Example: `homeostat backtest include/models/pump_fault --data rows.csv --windows 7d --html report.html`

    Homeostat with the model's own settings beside never retraining, retraining every window and every fourth,
    and the article's policy; labels arrive one window late. Runs in memory: no server, and nothing is kept.
    """
    from homeostat.cli.commands import backtest_model

    backtest_model(
        model,
        data,
        reference_share=reference_share,
        windows=windows,
        spacing=spacing,
        grid=grid,
        as_json=as_json,
        html=html,
    )


@app.command()
@plainly
def retrain(
    model: Model,
    *,
    reason: Reason = "by hand, on the command line",
    until: Annotated[str, typer.Option(help="Learn from rows up to this time. Default: now.")] = "",
    training_window: Annotated[str, typer.Option(help="Learn from the last stretch, such as 90d.")] = "",
    pipeline: Annotated[
        str, typer.Option(help="Try another pipeline: FILE:FUNCTION in the model's folder.")
    ] = "",
    skip_shadow: Annotated[bool, typer.Option(help="Go straight to the first canary step.")] = False,
    force: Annotated[
        bool, typer.Option(help="Go on although the gate refuses; a person has to approve.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Retrain here and now, through the same steps as the DAG, and follow the version to its end.

    Example: `homeostat retrain pump_fault --reason "new sensor" --training-window 30d`
    """
    from homeostat.cli.commands import retrain_now

    asked = {
        "reason": reason,
        "until": until,
        "training_window": training_window,
        "pipeline": pipeline,
        "skip_shadow": skip_shadow,
        "force": force,
    }
    retrain_now(Settings.from_env(), model, asked, as_json=as_json)


@app.command("train-step")
@plainly
def train_step(
    model: Model,
    *,
    run_key: Annotated[
        str, typer.Option(help="The retrain's key: the tag homeostat.run_key of its MLflow run.")
    ],
    as_json: AsJson = False,
) -> None:
    """Do the train step of a retrain that another process has assembled; Airflow runs this on Fargate.

    Example: `homeostat train-step pump_fault --run-key 3f9c2a7b10de`

    It needs HOMEOSTAT_STORE and MLFLOW_TRACKING_URI as Airflow has them. Done twice, it is done once.

    Ends with status 0 when it is done; 1 when it failed for good, and why stands on standard error and in the
    store; 75 when a service did not answer, and trying again may help; 70 after a fault that nobody foresaw.
    """
    from homeostat.cli.commands.train_step import train_here

    train_here(Settings.from_env(), model, run_key, as_json=as_json)


@app.command()
@plainly
def status(
    model: Annotated[str | None, typer.Argument(help="One model; all of them when not given.")] = None,
    *,
    recompute: Annotated[
        bool,
        typer.Option(
            "--recompute",
            help="Decide every recorded step again from its record; status 1 unless all come out the same.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show which version serves what, where its rollout stands, and what happened last."""
    from homeostat.cli.commands import recompute_history, show_status

    show = recompute_history if recompute else show_status
    show(Settings.from_env(), model, as_json=as_json)


@app.command()
@plainly
def doctor(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="These models; all when none is given.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Examine the deployment, here and in AWS: what works, what does not, and what helps.

    Example: `homeostat doctor pump_fault`

    Changes nothing, but for one object that is put into the store and removed again. A service that says
    nothing is given up after 20 seconds at the latest. Ends with status 0 when nothing is broken, and 1
    otherwise.
    """
    from homeostat.cli.commands.doctor import examine

    examine(models or [], as_json=as_json)


@app.command()
@plainly
def promote(
    model: Model,
    version: Annotated[
        str | None, typer.Argument(help="The version. Default: approve the candidate that waits for it.")
    ] = None,
    *,
    reason: Reason = "by hand",
    as_json: AsJson = False,
) -> None:
    """Make a version champion that passed its gate, or approve the candidate that waits."""
    from homeostat.cli.commands import promote_now

    promote_now(Settings.from_env(), model, version, reason, as_json=as_json)


@app.command()
@plainly
def rollback(
    model: Model,
    *,
    version: Annotated[
        str, typer.Option(help="Take back this version or none: its health checks may have been sooner.")
    ] = "",
    reason: Reason = "by hand",
    as_json: AsJson = False,
) -> None:
    """Take the candidate back, or else put the previous version back; in every gateway within a second.

    Example: `homeostat rollback pump_fault --version 7 --reason "alarms without cause since 03:10"`

    Needs neither MLflow nor Airflow, and no gateway either: when none answers, the ledger is written here,
    and all gateways follow it. Pressed twice, it does not bring back a version that was itself taken back.
    """
    from homeostat.cli.commands import rollback_now

    rollback_now(Settings.from_env(), model, reason, version, as_json=as_json)


@app.command()
@plainly
def gateway(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)
    ] = 8080,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that answer. Default: HOMEOSTAT_GATEWAY_WORKERS, or 1.",
            min=1,
            max=64,
        ),
    ] = None,
) -> None:
    """Run a gateway: serves every model's champion, and canaries by the ledger.

    Example: `homeostat gateway --host 0.0.0.0 --workers 4`

    What it must not take in, how long it waits and what it keeps is set by HOMEOSTAT_GATEWAY_ variables;
    docs/gateway.md lists them.
    """
    from homeostat.cli.commands import serve_gateway

    serve_gateway(Settings.from_env(), host, port, workers)


@app.command()
@plainly
def token(
    name: Annotated[str, typer.Argument(help="Who will hold it; it stands in the audit trail.")],
    *,
    scope: Annotated[
        list[str], typer.Option(help="predict, label, read or control; may be given several times.")
    ],
    as_json: AsJson = False,
) -> None:
    """Make a token for the gateway, and the entry for HOMEOSTAT_TOKENS_FILE. The token is shown only here.

    Example: `homeostat token labels-job --scope label --scope read`
    """
    from homeostat.cli.commands.token import make_token

    make_token(name, scope, as_json=as_json)


@app.command()
@plainly
def new(
    model: Annotated[str, typer.Argument(help="Name of the new model: lower-case letters, digits, _ and -.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Write a model folder that works as it stands; change it into yours."""
    from homeostat.cli.commands import write_new

    write_new(Settings.from_env(), model, as_json=as_json)


def main() -> Any:
    """Entry point of the ``homeostat`` program."""
    try:
        return app()
    except KeyboardInterrupt:
        err.print("stopped")
        sys.exit(130)
