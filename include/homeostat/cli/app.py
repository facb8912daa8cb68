"""The command line: ``homeostat COMMAND --help`` describes each command with an example."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from homeostat._version import __version__
from homeostat.cli.command import Command
from homeostat.config import Settings
from homeostat.config.errors import HomeostatError
from homeostat.config.extras import optional_libraries
from homeostat.config.redaction import secret_redactor

app = typer.Typer(
    name="homeostat",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
err = Console(stderr=True)

BEGIN, OFFLINE = "Begin", "Without a server"
SERVED, DEPLOYMENT = "A served model", "Deployment"
Model = Annotated[str, typer.Argument(metavar="MODEL", help="The model: its name, or its folder.")]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="CSV or Parquet with the model's columns. Default: the model's own source."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
RowsPerHour = Annotated[
    float | None,
    typer.Option(help="Rows an hour, to say how long a rollout takes. Default: what the model gets."),
]
DateFormats = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=FORMAT",
        help="How a column's dates are written: day=%d/%m/%Y; or the unit of numbers since 1970: at=ms.",
    ),
]
Reason = Annotated[str, typer.Option(help="Why; recorded permanently in the model's history.")]


P = ParamSpec("P")
R = TypeVar("R")


def user_errors_only(command: Callable[P, R]) -> Callable[P, R]:
    """Print an expected error as one sentence without a traceback, and exit with status 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with optional_libraries():
                return command(*args, **kwargs)
        except HomeostatError as error:
            text = secret_redactor()(str(error))
            err.print(Text.assemble((type(error).__name__, "bold red"), f": {text}"), soft_wrap=True)
            raise typer.Exit(1) from None

    return run


def _print_version(wanted: bool) -> None:  # noqa: FBT001  # typer calls it with the option's value
    if wanted:
        Console().print(f"homeostat {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Keeps machine-learning models healthy: monitor, retrain, gate, canary, promote or roll back."""


@app.command(cls=Command, rich_help_panel=BEGIN)
@user_errors_only
def up(
    *,
    keep_ports: Annotated[
        bool,
        typer.Option(help="Try Airflow's port 8080, MLflow's 5000 and the gateway's 8000 before free ones."),
    ] = True,
) -> None:
    """Start the platform on this machine: MLflow, Airflow and the gateway. Ctrl-C stops it.

    Its data stays in `.homeostat` (or $HOMEOSTAT_STATE) for the next start.
    """
    from homeostat.dev_stack.up import run_up

    run_up(Settings.from_env(), Console(), keep_ports=keep_ports)


@app.command(cls=Command, rich_help_panel=BEGIN)
@user_errors_only
def demo(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The example model to run.")] = "pump_fault",
    *,
    model_option: Annotated[str, typer.Option("--model", hidden=True)] = "",
    data: Annotated[
        Path | None,
        typer.Option(
            help="The file with the model's rows, if the model needs one.", exists=True, dir_okay=False
        ),
    ] = None,
    leave: Annotated[
        bool,
        typer.Option("--exit", help="Stop everything at the end; status 0 only if every stage succeeded."),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Write the results to this file: as HTML if it ends in .html, else as JSON."),
    ] = None,
) -> None:
    """Run the whole loop with comments: drift, a concept change, retrains, rollouts, a rolled-back version.

    Example: `homeostat demo bike_demand --data hour.csv --exit --report report.html`
    """
    from homeostat.cli.commands.gateway_new import require_example
    from homeostat.demo import run_demo

    model, settings = model_option or model, Settings.from_env()
    require_example(settings, model)
    ok = run_demo(settings, model=model, data=data, leave=leave, report=report, console=Console())
    raise typer.Exit(0 if ok else 1)


@app.command(cls=Command, rich_help_panel=SERVED)
@user_errors_only
def replay(  # noqa: PLR0913  # one parameter for each option
    model: Model,
    file: Annotated[str | None, typer.Argument(hidden=True)] = None,
    *,
    data: Data = None,
    since: Annotated[str, typer.Option(help="Start with rows of this time, such as 2026-01-05T07:00Z.")] = "",
    until: Annotated[
        str,
        typer.Option(help="Stop before rows of this time. Default: now; with --live, the last row."),
    ] = "",
    rate: Annotated[float | None, typer.Option(help="Rows a second. Default: unlimited.")] = None,
    concurrency: Annotated[int, typer.Option(help="Parallel connections.", min=1)] = 8,
    live: Annotated[
        bool, typer.Option("--live", help="Send the rows with the time of now instead of their own.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send rows as live traffic; labels follow after `schema.label.delay` of model.yaml.

    Example: `homeostat replay bike_demand --data rows.csv --rate 50`
    """
    from homeostat.cli.commands import replay_rows

    replay_rows(
        Settings.from_env(),
        model,
        data or file,
        between=(since, until),
        rate=rate,
        concurrency=concurrency,
        live=live,
        as_json=as_json,
    )


@app.command(cls=Command, rich_help_panel=SERVED)
@user_errors_only
def check(
    model: Model,
    *,
    window_end: Annotated[
        str,
        typer.Option(
            help="End of the window: now, or such as 2026-01-05T07:00Z. Default: the last full interval."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Check one window for drift now, as the hourly DAG does, and record it in MLflow.

    Example: `homeostat check pump_fault --window-end 2026-01-05T07:00Z`
    """
    from homeostat.cli.commands import check_now

    check_now(Settings.from_env(), model, window_end, as_json=as_json)


@app.command(cls=Command, rich_help_panel=OFFLINE)
@user_errors_only
def drift(
    *,
    reference: Annotated[
        str, typer.Option(help="The data to compare with: a file, a folder, s3://, an engine.")
    ],
    current: Annotated[str, typer.Option(help="The data to check.")],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="Take types, features and thresholds of this model: name or folder."
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(hidden=True)] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write an HTML report with pictures to this file.")
    ] = None,
    fail_on_drift: Annotated[
        bool,
        typer.Option("--fail-on-drift", help="Exit with status 1 unless the verdict is pass."),
    ] = False,
    date_format: DateFormats = None,
    as_json: AsJson = False,
) -> None:
    """Compare two tables column by column: CSV or Parquet, a file or a folder. No server or model needed.

    Example: `homeostat drift --reference january.parquet --current february.parquet --html drift.html`

    A table of an engine is counted there: `duckdb://rows/*.parquet`, `postgresql://HOST/DB?table=rows`.

    A column alerts when its distribution shifted (corrected p below 0.05 *and* an effect of 0.1 or more),
    when it has values that the reference lacks, or more missing ones. The table is drifted when 30 % of its
    columns are.
    """
    from homeostat.cli.commands import compare_files

    compare_files(
        reference,
        current,
        config=Settings.from_env().model_folder(model) if model else config,
        as_json=as_json,
        html=html,
        fail_on_drift=fail_on_drift,
        date_formats=date_format or (),
    )


@app.command(cls=Command, rich_help_panel=OFFLINE)
@user_errors_only
def backtest(  # noqa: PLR0913  # one parameter for each option
    model: Model,
    *,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The model's history with labels: CSV, Parquet, or the file its loader reads. Default: the "
            "model's own source.",
        ),
    ] = None,
    reference_share: Annotated[
        float, typer.Option(help="Share of the rows that the first version is trained on.")
    ] = 0.3,
    windows: Annotated[
        str, typer.Option(help="A window's length: 168rows or 7d. Default: monitor.window.")
    ] = "",
    spacing: Annotated[
        str, typer.Option(help="Time between two rows, if the file has no times. Default: 1h.")
    ] = "",
    grid: Annotated[
        bool,
        typer.Option("--grid", help="Try other trigger settings, and score them on later windows."),
    ] = False,
    rows_per_hour: Annotated[
        float | None,
        typer.Option(
            help="Rows an hour, to say how long a rollout takes. Default: as in the file, whose times the "
            "replay keeps."
        ),
    ] = None,
    compare: Annotated[
        str,
        typer.Option(
            help="Policies of the literature to run beside, separated by commas: tuned_period, cara, upf, "
            "cusum, or all."
        ),
    ] = "",
    cost: Annotated[
        float | None,
        typer.Option(
            help="What a retrain may cost, in points of the metric over one window (regression: as a share "
            "of the error). Default: 0.005."
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Processes that fit versions; the result is the same. Default: one, or one for each core "
            "when the fits take long."
        ),
    ] = None,
    shifts: Annotated[
        int,
        typer.Option(help="Run again so many times with windows that start later, and give mean and spread."),
    ] = 0,
    html: Annotated[
        Path | None, typer.Option(help="Write an HTML report with a picture to this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replay a model's history: when it would have been retrained, and how good its predictions were.

    Example: `homeostat backtest pump_fault --data rows.csv --windows 7d --html report.html`

    Compares Homeostat with the model's settings to never retraining, retraining every window, every fourth
    window, and a baseline policy. Labels arrive one window late. Runs in memory without a server.
    """
    from homeostat.cli.commands import backtest_model

    backtest_model(
        Settings.from_env().model_folder(model),
        data,
        reference_share=reference_share,
        windows=windows,
        spacing=spacing,
        grid=grid,
        rows_per_hour=rows_per_hour,
        compare=compare,
        cost=cost,
        jobs=jobs,
        shifts=shifts,
        as_json=as_json,
        html=html,
    )


@app.command(cls=Command, rich_help_panel=SERVED)
@user_errors_only
def retrain(
    model: Model,
    *,
    reason: Reason = "manual, on the command line",
    until: Annotated[str, typer.Option(help="Train on rows up to this time. Default: now.")] = "",
    training_window: Annotated[
        str, typer.Option(help="Train on a shorter period, such as 90d, instead of training.window.")
    ] = "",
    pipeline: Annotated[
        str, typer.Option(help="Try another pipeline: FILE:FUNCTION in the model's folder.")
    ] = "",
    skip_shadow: Annotated[
        bool, typer.Option("--skip-shadow", help="Go straight to the first canary step.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Continue although the gate refuses; a person must approve the promotion."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Retrain now in this process, with the same steps as the DAG, and follow the rollout to its end.

    Example: `homeostat retrain pump_fault --reason "new sensor" --training-window 30d`
    """
    from homeostat.cli.commands import retrain_now

    options = {
        "reason": reason,
        "until": until,
        "training_window": training_window,
        "pipeline": pipeline,
        "skip_shadow": skip_shadow,
        "force": force,
    }
    retrain_now(Settings.from_env(), model, options, as_json=as_json)


@app.command("train-step", cls=Command, rich_help_panel=DEPLOYMENT)
@user_errors_only
def train_step(
    model: Model,
    *,
    run_key: Annotated[
        str, typer.Option(help="The retrain's key: the tag homeostat.run_key of its MLflow run.")
    ],
    as_json: AsJson = False,
) -> None:
    """Run the train step of a retrain that another process assembled; Airflow runs this on Fargate.

    Example: `homeostat train-step pump_fault --run-key 3f9c2a7b10de`

    Set HOMEOSTAT_STORE and MLFLOW_TRACKING_URI as in Airflow. A second run returns the first one's result.

    Exit status: 0 done; 1 permanent error, printed on standard error and saved in the store; 75 a service did
    not respond, a retry may help; 70 unexpected error.
    """
    from homeostat.cli.commands.train_step import train_here

    train_here(Settings.from_env(), model, run_key, as_json=as_json)


@app.command(cls=Command, rich_help_panel=SERVED)
@user_errors_only
def status(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="One model. Default: all.")] = None,
    *,
    recompute: Annotated[
        bool,
        typer.Option(
            "--recompute",
            help="Repeat every recorded decision from its record; status 1 if one differs.",
        ),
    ] = False,
    rows_per_hour: RowsPerHour = None,
    as_json: AsJson = False,
) -> None:
    """Show which version serves which share, how long its rollout still takes, and the last events.

    Without a rollout it says how long the next one takes at the traffic of the last 24 hours.
    """
    from homeostat.cli.commands import recompute_history, show_status

    if recompute:
        recompute_history(Settings.from_env(), model, as_json=as_json)
        return
    show_status(Settings.from_env(), model, as_json=as_json, rows_per_hour=rows_per_hour)


@app.command(cls=Command, rich_help_panel=SERVED)
@user_errors_only
def explain(
    model: Model,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="WINDOW|VERSION",
            help="The end of a checked window (2026-01-05T07:00Z), a version's number, or a retrain's run "
            "key. Default: the newest window.",
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Explain a decision with its figures: why a window did or did not start a retrain, or a version's story.

    Example: `homeostat explain pump_fault 2026-01-05T07:00Z`, or `homeostat explain pump_fault 7`

    Reads the store and the ledger; MLflow and Airflow may be down.
    """
    from homeostat.cli.commands import explain_decision

    explain_decision(Settings.from_env(), model, what or "", as_json=as_json)


@app.command(cls=Command, rich_help_panel=DEPLOYMENT)
@user_errors_only
def doctor(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="Models to check. Default: all.")
    ] = None,
    *,
    rows_per_hour: RowsPerHour = None,
    as_json: AsJson = False,
) -> None:
    """Check the deployment, here and in AWS: what works, what does not, and how to fix it.

    Example: `homeostat doctor pump_fault`

    Changes nothing, except for one object that it writes to the store and deletes. Each check takes at most
    20 seconds. Exit status 1 when something is broken, otherwise 0.
    """
    from homeostat.cli.commands.doctor import check_deployment

    check_deployment(models or [], as_json=as_json, rows_per_hour=rows_per_hour)


@app.command(cls=Command, rich_help_panel=SERVED)
@user_errors_only
def promote(
    model: Model,
    version: Annotated[
        str | None,
        typer.Argument(
            metavar="VERSION", help="The version. Default: approve the candidate that waits for approval."
        ),
    ] = None,
    *,
    reason: Reason = "manual",
    by: Annotated[
        str, typer.Option(metavar="NAME", help="Who approves; recorded. Needed where approvers are named.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Promote a version that passed its gate, or approve the candidate that waits for approval."""
    from homeostat.cli.commands import promote_now

    promote_now(Settings.from_env(), model, version, reason, by=by, as_json=as_json)


@app.command(cls=Command, rich_help_panel=SERVED)
@user_errors_only
def rollback(
    model: Model,
    version: Annotated[
        str | None,
        typer.Argument(
            metavar="VERSION",
            help="Roll back only this version: its health checks may have done it.",
        ),
    ] = None,
    *,
    version_option: Annotated[str, typer.Option("--version", hidden=True)] = "",
    reason: Reason = "manual",
    as_json: AsJson = False,
) -> None:
    """Roll back the candidate, or else the champion to the previous version; all gateways follow in a second.

    Example: `homeostat rollback pump_fault 7 --reason "alarms without cause since 03:10"`

    Needs no MLflow, no Airflow and no gateway: without a gateway the command writes the ledger, and gateways
    follow it. A second call does not restore a version that was itself rolled back.
    """
    from homeostat.cli.commands import rollback_now

    rollback_now(Settings.from_env(), model, reason, version or version_option, as_json=as_json)


@app.command(cls=Command, rich_help_panel=DEPLOYMENT)
@user_errors_only
def gateway(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)
    ] = 8000,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Worker processes. Default: HOMEOSTAT_GATEWAY_WORKERS, or 1.",
            min=1,
            max=64,
        ),
    ] = None,
) -> None:
    """Run a gateway: serves every model's champion, and candidates as the ledger says.

    Example: `homeostat gateway --host 0.0.0.0 --workers 4`

    Limits, timeouts and retention are set by HOMEOSTAT_GATEWAY_* variables, listed in docs/gateway.md.
    """
    from homeostat.cli.commands import serve_gateway

    serve_gateway(Settings.from_env(), host, port, workers)


@app.command(cls=Command, rich_help_panel=DEPLOYMENT)
@user_errors_only
def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who will use it; recorded in the audit log.")],
    *,
    scope: Annotated[list[str], typer.Option(help="predict, label, read or control; repeatable.")],
    as_json: AsJson = False,
) -> None:
    """Create a token for the gateway and its entry for HOMEOSTAT_TOKENS_FILE. The token is shown only once.

    Example: `homeostat token labels-job --scope label --scope read`
    """
    from homeostat.cli.commands.token import make_token

    make_token(name, scope, as_json=as_json)


@app.command(cls=Command, rich_help_panel=BEGIN)
@user_errors_only
def new(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="Name of the new model: lower-case letters, digits, _ and -."),
    ] = None,
    *,
    estimator: Annotated[
        str, typer.Option(help="What it is made with: sklearn, lightgbm, xgboost or catboost.")
    ] = "sklearn",
    example: Annotated[
        str, typer.Option(help="Copy a demo model instead: pump_fault or bike_demand. Default name: its own.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Create a model folder that works unchanged; edit it for your data.

    Example: `homeostat new churn`, or `homeostat new --example pump_fault`

    It is written into the folder that HOMEOSTAT_MODELS names, by default include/models of the checkout or of
    HOMEOSTAT_HOME, whatever the working directory.
    """
    from homeostat.cli.commands import write_new

    write_new(Settings.from_env(), model or "", example, as_json=as_json, estimator=estimator)


@app.command(cls=Command, rich_help_panel=BEGIN)
@user_errors_only
def quickstart(  # noqa: PLR0913  # one parameter for each option
    data: Annotated[
        str,
        typer.Argument(metavar="FILE", help="Rows with labels: CSV or Parquet, a file, a folder, or s3://."),
    ],
    *,
    label: Annotated[str, typer.Option(metavar="COLUMN", help="The column to predict.")],
    time: Annotated[
        str,
        typer.Option(
            metavar="COLUMN", help="The time of a row. Default: a column of dates, if there is one."
        ),
    ] = "",
    name: Annotated[
        str, typer.Option(metavar="MODEL", help="Name of the model. Default: that of the file.")
    ] = "",
    task: Annotated[
        str, typer.Option(help="classification or regression. Default: what the label looks like.")
    ] = "",
    estimator: Annotated[
        str, typer.Option(help="What it is made with: sklearn, lightgbm, xgboost or catboost.")
    ] = "sklearn",
    date_format: DateFormats = None,
    backtest: Annotated[bool, typer.Option(help="Replay the rows after writing the model.")] = True,
    as_json: AsJson = False,
) -> None:
    """Make a model from a file: guess its schema, write its folder, replay it, and say what to run next.

    Example: `homeostat quickstart customers.csv --label churned --time signup_date`

    Types, ranges, categories, windows and delays are guessed from the rows and written into model.yaml, where
    they can be changed. Identifiers and constant columns are left out. The backtest takes about a minute: it
    replays some rows of a long file.
    """
    from homeostat.cli.commands import write_quickstart

    write_quickstart(
        Settings.from_env(),
        data,
        label=label,
        time=time,
        name=name,
        task=task,
        estimator=estimator,
        date_formats=date_format or (),
        backtest=backtest,
        as_json=as_json,
    )


def main() -> Any:
    """Entry point of the ``homeostat`` program."""
    try:
        return app(prog_name="homeostat")
    except KeyboardInterrupt:
        err.print("stopped")
        sys.exit(130)
