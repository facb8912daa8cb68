"""train-step: the train step of one retrain, as the command of a container."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import Any

import typer

from homeostat.adapters import build_ports
from homeostat.adapters.notifier import MemoryNotifier
from homeostat.cli.console import print_json, say
from homeostat.config import Settings
from homeostat.config.errors import HomeostatError, NotFound, Refused, StaleRevision, Unavailable
from homeostat.config.redaction import masker, without_userinfo
from homeostat.ports import Ports
from homeostat.retraining.remote_training import (
    EXPECTED_CODE,
    PASSING,
    UNFORESEEN,
    code_digest,
    leave_failure,
)
from homeostat.retraining.train import train
from homeostat.storage.retrain_request import find_result


def train_here(settings: Settings, model: str, run_key: str, *, as_json: bool) -> None:
    """Do the train step of a retrain that has been assembled; done once, it gives the same answer again.

    Why it failed is left in the Store for whoever started this process, and so is what people are to be told:
    a container sends nothing by itself.

    Raises
    ------
    HomeostatError
        Trying again would give the same answer.
    typer.Exit
        With status 75 where trying again may help, and 70 where nobody foresaw what happened.
    """
    notifier = MemoryNotifier()
    ports = build_ports(settings, notifier=notifier)
    try:
        result = _trained(settings, model, run_key, ports, quiet=as_json)
    except Exception as error:
        with suppress(HomeostatError):  # the Store itself may be what fails, and the exit status tells enough
            leave_failure(ports.store, model, run_key, error, notifier.sent)
        if isinstance(error, (Unavailable, StaleRevision)):
            _complain(f"{type(error).__name__}: {error} (trying again may help)")
            raise typer.Exit(PASSING) from None
        if isinstance(error, HomeostatError):
            raise
        _complain(traceback.format_exc())
        raise typer.Exit(UNFORESEEN) from None
    if as_json:
        print_json(result)
        return
    say(result["sentence"])
    say(f"bundle {result['digest']}")
    say(result["url"])


def _trained(settings: Settings, model: str, run_key: str, ports: Ports, *, quiet: bool) -> dict[str, Any]:
    config = settings.load_model(model)
    data = find_result(ports.store, model, run_key, "assemble")
    if data is None:
        msg = (
            f"no retrain of {model} has been assembled under the run key {run_key!r} in "
            f"{without_userinfo(settings.store)}: HOMEOSTAT_STORE must be that of the process that assembled "
            "it, and the key stands in the retrain's MLflow run as homeostat.run_key"
        )
        raise NotFound(msg)
    expected = os.environ.get(EXPECTED_CODE)
    if expected and code_digest(config) != expected:
        msg = (
            f"{config.folder}: model.yaml or a Python file here is not what Airflow has, so another model "
            "would be fitted: build the task's image from the commit that Airflow runs, and where "
            "HOMEOSTAT_OVERRIDES is set there, set it here"
        )
        raise Refused(msg)
    if not quiet:
        say(f"{model}, retrain {run_key}: {data['rows']} rows to learn from, {data['holdout']} held out")
    return train(config, run_key, ports)


def _complain(text: str) -> None:
    sys.stderr.write(masker()(text) + "\n")
