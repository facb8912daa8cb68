"""What the command line does once it knows what is wanted; text for people, JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from homeostat import flows
from homeostat.adapters import build_ports
from homeostat.config import ModelConfig, Settings
from homeostat.config.errors import ConfigError, HomeostatError, Refused, Superseded
from homeostat.ports import Ports
from homeostat.rollout import SENTENCES, Traffic

out = Console()
err = Console(stderr=True)
BY = "command line"


def print_json(value: Any) -> None:
    """One JSON value on standard output, and nothing else."""
    sys.stdout.write(json.dumps(value, indent=1, default=str, allow_nan=False) + "\n")


def progress(unit: str = "steps") -> Progress:
    """A bar on standard error, so that standard output stays clean."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        console=err,
        transient=True,
    )


def check_now(settings: Settings, model: str, window_end: str, *, as_json: bool) -> None:
    """One drift check through the flow that the DAG calls."""
    config = settings.load_model(model)
    ports = build_ports(settings)
    end = flows.window_end_of(config, window_end or ports.clock.now())
    with err.status(f"checking {model} up to {end:%Y-%m-%d %H:%M} UTC"):
        answer = flows.check_drift(config, ports, end)
    if as_json:
        print_json(answer)
        return
    out.print(answer["sentence"], highlight=False)
    if answer["fired"]:
        out.print(f"Airflow hears of it at the next hourly check; now: [bold]homeostat retrain {model}[/]")
    if answer["url"]:
        out.print(f"[dim]{answer['url']}[/]")


def retrain_now(settings: Settings, model: str, asked: Mapping[str, Any], *, as_json: bool) -> None:
    """Every step of the retrain DAG, one after the other, in this process."""
    config = settings.load_model(model)
    ports = build_ports(settings)
    run_id = f"cli__{uuid4().hex[:12]}"
    key = flows.run_key(model, run_id)
    request = flows.RetrainRequest.of(run_key=key, dag_run=run_id, params=asked, event={})
    result = _steps(config, request, ports)
    if as_json:
        print_json(result)
    else:
        out.print(result["sentence"], highlight=False)
        out.print(f"[dim]{result['url']}[/]")
    if result.get("phase") != "champion":
        raise SystemExit(1)


def _steps(config: ModelConfig, request: flows.RetrainRequest, ports: Ports) -> dict[str, Any]:
    key = request.run_key
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "assemble": lambda: flows.assemble(config, request, ports),
        "train": lambda: flows.train(config, key, ports),
        "validate": lambda: flows.validate(config, key, ports),
        "gate": lambda: flows.judge(config, key, ports),
        "register": lambda: flows.register(config, key, ports),
        "rollout": lambda: flows.begin_rollout(config, key, ports),
    }
    try:
        with progress() as bar:
            task = bar.add_task("assemble", total=7)
            for name, step in steps.items():
                bar.update(task, description=f"[bold]{name}[/]")
                result = step()
                bar.console.print(f"[green]done[/] {name}: {result['sentence']}", highlight=False)
                bar.advance(task)
                if result.get("goes_on") is False:
                    return result
            while flows.look(config, key, ports)["phase"] in ("registered", "shadow", "canary", "waiting"):
                state = flows.look(config, key, ports)
                bar.update(task, description=f"[bold]{state['phase']}[/] {state['share']:.0%} of the traffic")
                flows.tick(config.name, ports.ledger, by=BY)
                time.sleep(1)
            return flows.settle(config, key, ports)
    except Superseded as error:
        raise Refused(str(error)) from error
    except BaseException:
        ports.ledger.release(config.name, key)
        raise


def show_status(settings: Settings, model: str | None, *, as_json: bool) -> None:
    """Traffic and the last events, out of the ledger alone: works with everything else down."""
    from homeostat.adapters import open_ledger

    ledger = open_ledger(settings.ledger)
    names = [settings.load_model(model).name] if model else list(settings.load_models())
    found = {name: (ledger.read(name), ledger.events(name)[-8:]) for name in names}
    if as_json:
        print_json(
            {
                name: {
                    **traffic.to_json(),
                    "events": [
                        {"at": e.at.isoformat(), "kind": e.kind, "reason": e.reason, "by": e.by}
                        for e in events
                    ],
                }
                for name, (traffic, events) in found.items()
            }
        )
        return
    if not found:
        out.print("No models yet. [bold]homeostat new MODEL[/] writes one that works as it stands.")
    for name, (traffic, events) in found.items():
        _print_status(name, traffic, events)


def _print_status(name: str, traffic: Traffic, events: list[Any]) -> None:
    out.print(f"[bold]{name}[/]")
    if traffic.champion is None:
        out.print(
            f"  no champion yet: [bold]homeostat retrain {name}[/], or start retrain__{name} in Airflow"
        )
    else:
        before = f", before it version {traffic.previous.version}" if traffic.previous else ""
        out.print(f"  version {traffic.champion.version} is champion{before}")
    rollout = traffic.rollout
    if rollout is not None:
        share = f" ({rollout.share:.0%} of the traffic)" if rollout.share else ""
        out.print(
            f"  version {rollout.candidate.version}: {rollout.phase}{share}. {SENTENCES[rollout.phase]}"
        )
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for column in ("when (UTC)", "what", "why", "by"):
        table.add_column(column)
    for event in events:
        table.add_row(f"{event.at:%Y-%m-%d %H:%M:%S}", event.kind, event.reason, event.by)
    if events:
        out.print(table)
    out.print()


def _control(settings: Settings, model: str, verb: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Ask the gateway; None when no gateway answers, and then the ledger is written here."""
    headers = {"Authorization": f"Bearer {settings.control_token}"}
    url = f"{settings.gateway}/control/models/{model}/{verb}"
    try:
        answer = httpx.post(url, json=dict(body), headers=headers, timeout=10, trust_env=False)
    except httpx.TransportError:
        return None
    if answer.is_success:
        found: dict[str, Any] = answer.json()
        return found
    try:
        detail = answer.json().get("detail") or answer.json()
    except ValueError:
        detail = answer.text[:300]
    msg = f"the gateway at {settings.gateway} answered {answer.status_code}: {detail}"
    raise Refused(msg)


def rollback_now(settings: Settings, model: str, reason: str, *, as_json: bool) -> None:
    """Through the gateway, or straight into the ledger that every gateway follows."""
    config = settings.load_model(model)
    if not settings.control_token or _control(settings, model, "rollback", {"reason": reason}) is None:
        from homeostat.adapters import open_ledger
        from homeostat.adapters.clock import SystemClock

        ledger = open_ledger(settings.ledger)
        flows.roll_back_in_ledger(config.name, ledger, reason=reason, by=BY, at=SystemClock().now())
    _say_traffic(settings, model, as_json=as_json)


def promote_now(settings: Settings, model: str, version: str | None, reason: str, *, as_json: bool) -> None:
    """Approve the waiting candidate, or promote a version that passed its gate."""
    config = settings.load_model(model)
    ports = build_ports(settings)
    if version is None:
        flows.approve_by_hand(config, ports, by=BY)
    else:
        flows.promote_by_hand(config, ports, version, by=BY, reason=reason)
    flows.mirror(config, ports)
    _say_traffic(settings, model, as_json=as_json)


def _say_traffic(settings: Settings, model: str, *, as_json: bool) -> None:
    show_status(settings, model, as_json=as_json)


def write_new(settings: Settings, model: str, *, as_json: bool) -> None:
    """A model folder from the template."""
    from homeostat.scaffold import new_model

    folder = new_model(model, settings.models)
    if as_json:
        print_json({"model": model, "folder": str(folder)})
        return
    out.print(f"Wrote [bold]{folder}[/]. It works as it stands:")
    out.print(f"  homeostat retrain {model}        make the first version")
    out.print(f"  homeostat demo --model {model}   watch the loop close on it")
    out.print("Then put your own columns into model.yaml and your own pipeline into pipeline.py.")


def replay_file(
    settings: Settings, model: str, data: Path, *, rate: float | None, concurrency: int, as_json: bool
) -> None:
    """The rows of a file as live traffic, with labels that follow."""
    from homeostat.replay import replay

    config = settings.load_model(model)
    rows = _read_rows(config, data)
    with progress("rows") as bar:
        task = bar.add_task(f"replaying {data.name}", total=len(rows))
        report = replay(
            rows,
            config,
            settings.gateway,
            rate=rate,
            concurrency=concurrency,
            on_progress=lambda done: bar.update(task, completed=done),
        )
    if as_json:
        print_json(report.to_json())
    else:
        out.print(report.sentence(), highlight=False)
    if report.failed:
        raise SystemExit(1)


def _read_rows(config: ModelConfig, data: Path) -> Any:
    """Rows of a file by the model's own source where it reads files, otherwise as plain CSV or Parquet."""
    import pandas as pd

    try:
        rows = pd.read_parquet(data) if data.suffix == ".parquet" or data.is_dir() else pd.read_csv(data)
    except (ValueError, OSError) as error:
        msg = f"{data}: cannot be read as CSV or Parquet: {error}"
        raise ConfigError(msg) from error
    missing = [name for name in (config.columns.timestamp, *config.feature_names) if name not in rows.columns]
    if missing:
        msg = f"{data}: has no column {missing[0]!r}, which model.yaml of {config.name} names"
        raise ConfigError(msg)
    rows[config.columns.timestamp] = pd.to_datetime(rows[config.columns.timestamp], utc=True)
    return rows.sort_values(config.columns.timestamp, kind="stable")


__all__ = [
    "HomeostatError",
    "check_now",
    "promote_now",
    "replay_file",
    "retrain_now",
    "rollback_now",
    "show_status",
    "write_new",
]
