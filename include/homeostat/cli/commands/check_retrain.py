"""check and retrain: the steps of the DAGs, in this process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.markup import escape

from homeostat.adapters import build_ports
from homeostat.adapters.gateway_client import why_first_version_waits
from homeostat.adapters.notifier import LogNotifier
from homeostat.cli.console import BY, err, print_json, progress, say
from homeostat.config import ModelConfig, Settings
from homeostat.config.errors import HomeostatError, Refused, Superseded, Unavailable
from homeostat.core.rollout import Phase, Traffic
from homeostat.core.rollout.served import ServedState
from homeostat.core.run_ids import CLI_RUN
from homeostat.monitoring.drift_check import check_drift, window_end_of
from homeostat.ports import Ports
from homeostat.retraining.assemble import assemble
from homeostat.retraining.gate import gate
from homeostat.retraining.register import register
from homeostat.retraining.train import train
from homeostat.retraining.validate_on_holdout import validate
from homeostat.retraining.worthwhile import conclude_probe
from homeostat.rollouts.advance import advance
from homeostat.rollouts.alias_sync import sync_aliases
from homeostat.rollouts.lifecycle import begin_rollout, finalize, rollout_status
from homeostat.storage.retrain_outcome import RetrainOutcome
from homeostat.storage.retrain_request import RetrainRequest, parse_time, run_key

#: Retrain lease: how long a killed process blocks other retrains.
LEASE = timedelta(minutes=2)
#: How long a retrain waits for a gateway to load the first version while none responds.
NO_GATEWAY_SECONDS = 30.0
#: How often the gateway is asked meanwhile.
ASK_SECONDS = 5.0
_UNDER_WAY = tuple(str(phase) for phase in Phase if phase.active)


def check_now(settings: Settings, model: str, window_end: str, *, as_json: bool) -> None:
    """Run one drift check, as the DAG does."""
    config = settings.load_model(model)
    model, ports = config.name, build_ports(settings, notifier=LogNotifier(logging.INFO))
    now = ports.clock.now()
    if window_end and window_end != "now":
        end = parse_time(window_end, "--window-end", or_else="now")
    else:
        end = now if window_end else window_end_of(config, now)
    with err.status(f"checking {model} up to {end:%Y-%m-%d %H:%M} UTC"):
        sync_aliases(config, ports)
        result = check_drift(config, ports, end)
    if as_json:
        print_json(result)
        return
    say(result["sentence"])
    if result["fired"]:
        otherwise = {
            "airflow": "Airflow retrains after its next scheduled check",
            "lambda": "The Lambda function decides by its own checks",
        }
        say(f"{otherwise[config.monitor.runs_on]}; to retrain now: homeostat retrain {model}")
    if result["url"]:
        say(result["url"], "dim")


def retrain_now(settings: Settings, model: str, options: Mapping[str, Any], *, as_json: bool) -> None:
    """Run every step of the retrain DAG in this process."""
    config = settings.load_model(model)
    model, ports = config.name, build_ports(settings, notifier=LogNotifier(logging.INFO))
    run_id = f"{CLI_RUN}{uuid4().hex[:12]}"
    key = run_key(model, run_id)
    request = RetrainRequest.of(run_key=key, dag_run="", params=options, event={})
    result = _steps(config, request, ports, settings)
    if as_json:
        print_json(result)
    else:
        say(result["sentence"])
        say(result["url"], "dim")
    ended_well = result.get("outcome") == RetrainOutcome.NOT_WORTHWHILE
    if not ended_well and result.get("phase") not in ("champion", "registered"):  # a first version may wait
        raise SystemExit(1)


def _steps(config: ModelConfig, request: RetrainRequest, ports: Ports, settings: Settings) -> dict[str, Any]:
    key = request.run_key
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "assemble": lambda: assemble(config, request, ports, lease=LEASE),
        "train": lambda: train(config, key, ports),
        "probe": lambda: conclude_probe(config, key, ports),
        "validate": lambda: validate(config, key, ports),
        "gate": lambda: gate(config, key, ports),
        "register": lambda: register(config, key, ports),
        "rollout": lambda: begin_rollout(config, key, ports),
    }
    try:
        with _retrain_lease(config.name, request, ports), progress() as bar:
            task = bar.add_task("assemble", total=8)
            for name, step in steps.items():
                bar.update(task, description=f"[bold]{name}[/]")
                result = step()
                done = f"[green]done[/] {name}: {escape(result['sentence'] or 'nothing to compare')}"
                bar.console.print(done, highlight=False, soft_wrap=True)
                bar.advance(task)
                if result.get("proceeds") is False:
                    return {**result, **finalize(config, key, ports)}
            waits = _FirstVersionWait(settings, _printer(bar.console))
            while (state := rollout_status(config, key, ports))["phase"] in _UNDER_WAY:
                bar.update(task, description=f"[bold]{state['phase']}[/] {state['share']:.0%} of the traffic")
                if waits.in_vain(advance(config.name, ports.ledger, by=BY, tracer=ports.tracer).traffic):
                    later = f"{config.name} {waits.why}. It serves once a gateway has loaded it"
                    return {**finalize(config, key, ports), "sentence": later}
                time.sleep(1)
            return finalize(config, key, ports)
    except Superseded as error:
        raise Refused(str(error)) from error


def _printer(console: Console) -> Callable[[str], None]:
    return lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)


class _FirstVersionWait:
    """Says why a first version does not serve yet, and when waiting for a gateway has no end in sight."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self.why = ""
        self._settings = settings
        self._say = say
        self._began = self._asked = time.monotonic()

    def in_vain(self, traffic: Traffic) -> bool:
        """Whether no gateway that knows the version has responded for :data:`NO_GATEWAY_SECONDS`."""
        now = time.monotonic()
        if now - self._asked < ASK_SECONDS:
            return False
        self._asked = now
        served = why_first_version_waits(self._settings, traffic)
        if served is None:
            return False
        if served.sentence != self.why:
            self._say(f"{traffic.model} {served.sentence}")
        self.why = served.sentence
        if served.state is not ServedState.UNKNOWN:
            self._began = now
            return False
        return now - self._began >= NO_GATEWAY_SECONDS


@contextmanager
def _retrain_lease(model: str, request: RetrainRequest, ports: Ports) -> Iterator[None]:
    """Renew the retrain lease while this process lives, and release it at the end.

    Airflow restarts a killed task under the same key. A killed command line is not restarted, so its lease is
    short.
    """
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(LEASE.total_seconds() / 4):
            with suppress(HomeostatError):
                ports.ledger.acquire_lease(
                    model, request.trigger_id, request.run_key, ports.clock.now(), LEASE
                )

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(Unavailable):  # the lease expires by itself; keep the first error
            ports.ledger.release_lease(model, request.run_key)
