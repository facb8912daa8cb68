"""What the command line does once it knows what is wanted; text for people, JSON for programs."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from rich.console import Console
from rich.markup import escape
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
from homeostat.config.errors import ConfigError, HomeostatError, Refused, Superseded, Unavailable
from homeostat.ports import Ports
from homeostat.rollout import SENTENCES, Traffic

out = Console()
err = Console(stderr=True)
BY = "command line"
#: How long a retrain of this process goes on blocking others after the process was killed.
LEASE = timedelta(minutes=2)


def say(sentence: str, style: str = "") -> None:
    """One line on standard output as it stands: whatever is in it, and however narrow the terminal."""
    out.print(sentence, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)


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
    say(answer["sentence"])
    if answer["fired"]:
        say(f"Airflow hears of it at the next hourly check; now: homeostat retrain {model}")
    if answer["url"]:
        say(answer["url"], "dim")


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
        say(result["sentence"])
        say(result["url"], "dim")
    if result.get("phase") != "champion":
        raise SystemExit(1)


def _steps(config: ModelConfig, request: flows.RetrainRequest, ports: Ports) -> dict[str, Any]:
    key = request.run_key
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "assemble": lambda: flows.assemble(config, request, ports, lease=LEASE),
        "train": lambda: flows.train(config, key, ports),
        "validate": lambda: flows.validate(config, key, ports),
        "gate": lambda: flows.judge(config, key, ports),
        "register": lambda: flows.register(config, key, ports),
        "rollout": lambda: flows.begin_rollout(config, key, ports),
    }
    try:
        with _right_of_way(config.name, request, ports), progress() as bar:
            task = bar.add_task("assemble", total=7)
            for name, step in steps.items():
                bar.update(task, description=f"[bold]{name}[/]")
                result = step()
                done = f"[green]done[/] {name}: {escape(result['sentence'])}"
                bar.console.print(done, highlight=False, soft_wrap=True)
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


@contextmanager
def _right_of_way(model: str, request: flows.RetrainRequest, ports: Ports) -> Iterator[None]:
    """Renew the retrain's lease while this process lives, and give it back however the retrain ends.

    Airflow starts a killed task again under the same key; nobody does that for a killed command line,
    which therefore holds a short lease only.
    """
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(LEASE.total_seconds() / 4):
            with suppress(HomeostatError):
                ports.ledger.claim(model, request.trigger_id, request.run_key, ports.clock.now(), LEASE)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(Unavailable):  # the lease ends by itself, and what went wrong first is what counts
            ports.ledger.release(model, request.run_key)


def show_status(settings: Settings, model: str | None, *, as_json: bool) -> None:
    """Traffic and the last events, out of the ledger alone: works with everything else down."""
    from homeostat.adapters import open_ledger

    ledger = open_ledger(settings.ledger)
    names = [settings.known(model)] if model else settings.model_names()
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
        say(f"No models in {settings.models} yet. homeostat new MODEL writes one that works as it stands.")
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
        table.add_row(f"{event.at:%Y-%m-%d %H:%M:%S}", event.kind, escape(event.reason), escape(event.by))
    if events:
        out.print(table)
    out.print()


def _control(settings: Settings, model: str, verb: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Ask the gateway; None when it cannot do it, and then the ledger is written here.

    That is so when nothing answers, when what answers is no gateway of ours, when the gateway does not
    serve this model (``serve: none``) and when it cannot reach the ledger itself. A refusal stands.
    """
    headers = {"Authorization": f"Bearer {settings.control_token}"}
    url = f"{settings.gateway}/control/models/{model}/{verb}"
    try:
        answer = httpx.post(url, json=dict(body), headers=headers, timeout=10, trust_env=False)
        found = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None
    if not isinstance(found, dict) or answer.status_code == 404 or answer.status_code >= 500:
        return None
    if answer.is_success:
        return found
    sentence = found.get("message") or found.get("detail") or found
    if answer.status_code in (401, 403):
        sentence = f"{sentence} HOMEOSTAT_CONTROL_TOKEN here must be the gateway's own."
    msg = f"the gateway at {settings.gateway} refused ({answer.status_code}): {sentence}"
    raise Refused(msg)


def rollback_now(settings: Settings, model: str, reason: str, *, as_json: bool) -> None:
    """Through the gateway, or straight into the ledger that every gateway follows."""
    settings.known(model)  # and no more: a model.yaml that someone broke must not hold a rollback up
    if not settings.control_token or _control(settings, model, "rollback", {"reason": reason}) is None:
        from homeostat.adapters import open_ledger
        from homeostat.adapters.clock import SystemClock

        ledger = open_ledger(settings.ledger)
        flows.roll_back_in_ledger(model, ledger, reason=reason, by=BY, at=SystemClock().now())
    show_status(settings, model, as_json=as_json)


def promote_now(settings: Settings, model: str, version: str | None, reason: str, *, as_json: bool) -> None:
    """Approve the waiting candidate, or promote a version that passed its gate."""
    config = settings.load_model(model)
    ports = build_ports(settings)
    if version is None:
        flows.approve_by_hand(config, ports, by=BY)
    else:
        flows.promote_by_hand(config, ports, version, by=BY, reason=reason)
    try:
        flows.mirror(config, ports)
    except Unavailable as error:  # the ledger has it, so it is done
        err.print(f"done, but MLflow's aliases follow at the next check only: {error}", soft_wrap=True)
    show_status(settings, model, as_json=as_json)


def serve_gateway(settings: Settings, host: str, port: int) -> None:
    """Serve until told to stop; Unavailable when the address cannot be listened on."""
    from homeostat.gateway.serve import run

    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        why = str(error.strerror or error).partition(" (while")[0]
        msg = f"cannot listen on {host}, port {port}: {why}; choose another with --port (0 takes a free one)"
        raise Unavailable(msg) from None
    run(settings, host, port)


def write_new(settings: Settings, model: str, *, as_json: bool) -> None:
    """A model folder from the template."""
    from homeostat.scaffold import new_model

    folder = new_model(model, settings.models)
    if as_json:
        print_json({"model": model, "folder": str(folder)})
        return
    say(f"Wrote {folder}. It works as it stands:")
    say(f"  homeostat retrain {model}        make the first version")
    say(f"  homeostat demo --model {model}   watch the loop close on it")
    say("Then put your own columns into model.yaml and your own pipeline into pipeline.py.")


def replay_file(
    settings: Settings, model: str, data: Path, *, rate: float | None, concurrency: int, as_json: bool
) -> None:
    """The rows of a file as live traffic, with labels that follow."""
    from homeostat.replay import replay

    config = settings.load_model(model)
    rows = _read_rows(config, data)
    _answers(settings.gateway)
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
        say(report.sentence())
    if report.failed:
        raise SystemExit(1)


def _answers(gateway: str) -> None:
    """Raise Unavailable unless a gateway answers: better said once than for every row of the file."""
    try:
        there = httpx.get(f"{gateway}/ping", timeout=10, trust_env=False).is_success
        why = "something else answers there"
    except httpx.HTTPError as error:
        there, why = False, re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
    except httpx.InvalidURL as error:
        there, why = False, str(error)
    if not there:
        msg = (
            f"no gateway at {gateway} ({why}); start one with 'homeostat up' or 'homeostat gateway', "
            "or set HOMEOSTAT_GATEWAY to where it is"
        )
        raise Unavailable(msg)


def _read_rows(config: ModelConfig, data: Path) -> Any:
    """Rows of a CSV or Parquet file in the order of their times."""
    import pandas as pd

    try:
        rows = pd.read_parquet(data) if data.suffix == ".parquet" or data.is_dir() else pd.read_csv(data)
    except FileNotFoundError:
        msg = f"{data}: no such file"
        raise ConfigError(msg) from None
    except (ValueError, OSError) as error:
        msg = f"{data}: cannot be read as CSV or Parquet: {str(error).strip()}"
        raise ConfigError(msg) from error
    stamp, features = config.columns.timestamp, config.columns.features
    needed = [stamp, *(name for name, feature in features.items() if feature.required)]
    missing = [name for name in needed if name not in rows.columns]
    if missing:
        names = ", ".join(map(repr, missing))
        msg = f"{data}: has no column {names}, which {config.folder / 'model.yaml'} names under schema"
        raise ConfigError(msg)
    written = rows[stamp].astype("str") if pd.api.types.is_numeric_dtype(rows[stamp]) else rows[stamp]
    times = pd.to_datetime(written, utc=True, errors="coerce", format="ISO8601")
    if times.isna().any():
        row = int(times.isna().to_numpy().argmax())
        msg = (
            f"{data}, row {row}, column {stamp!r}: {rows[stamp].iloc[row]!r} is not a time: "
            "write it like 2026-01-05T07:00Z"
        )
        raise ConfigError(msg)
    rows[stamp] = times
    return rows.sort_values(stamp, kind="stable")


__all__ = [
    "HomeostatError",
    "check_now",
    "promote_now",
    "replay_file",
    "retrain_now",
    "rollback_now",
    "serve_gateway",
    "show_status",
    "write_new",
]
