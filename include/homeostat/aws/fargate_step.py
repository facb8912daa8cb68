"""The train step of one retrain in a Fargate container, which has no ledger and sends no notifications."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from homeostat.adapters import build_ports
from homeostat.adapters.notifier import MemoryNotifier
from homeostat.config import Settings
from homeostat.config.errors import HomeostatError, NotFound, Refused
from homeostat.config.redaction import redact_userinfo
from homeostat.ports import Ports
from homeostat.retraining.remote_training import EXPECTED_CODE, code_digest, save_failure
from homeostat.retraining.train import train
from homeostat.storage.step_results import find_result


def train_in_container(
    settings: Settings, model: str, run_key: str, *, on_start: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Run the train step of an assembled retrain; a second run returns the first one's result.

    An error is saved in the Store with the notifications it caused. The process that started the container
    reads both, see :mod:`homeostat_airflow.fargate`.

    Parameters
    ----------
    on_start
        Called with one sentence about the rows before the fit.

    Raises
    ------
    NotFound
        The Store has no assembled retrain of this key.
    Refused
        The model's code differs from Airflow's.
    HomeostatError
        The step's own error, see :func:`homeostat.retraining.train.train`.
    """
    notifier = MemoryNotifier()
    ports = build_ports(settings, notifier=notifier)
    try:
        return _train(settings, model, run_key, ports, on_start)
    except Exception as error:
        with suppress(HomeostatError):  # the Store itself may be the cause; the exit status is enough then
            save_failure(ports.store, model, run_key, error, notifier.sent)
        raise


def _train(
    settings: Settings, model: str, run_key: str, ports: Ports, on_start: Callable[[str], None] | None
) -> dict[str, Any]:
    config = settings.load_model(model)
    data = find_result(ports.store, model, run_key, "assemble")
    if data is None:
        msg = (
            f"no assembled retrain of {model} with run key {run_key!r} in {redact_userinfo(settings.store)}: "
            "set HOMEOSTAT_STORE as in the process that assembled it; the run key is the tag "
            "homeostat.run_key of the retrain's MLflow run"
        )
        raise NotFound(msg)
    expected = os.environ.get(EXPECTED_CODE)
    if expected and code_digest(config) != expected:
        msg = (
            f"{config.folder}: model.yaml or a Python file differs from Airflow's: the container would fit "
            "another model: build its image from the commit that Airflow runs, and set HOMEOSTAT_OVERRIDES "
            "here as there"
        )
        raise Refused(msg)
    if on_start is not None:
        on_start(f"{model}, retrain {run_key}: {data['rows']} rows to train on, {data['holdout']} held out")
    return train(config, run_key, ports)
