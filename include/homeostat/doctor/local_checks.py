"""The installation itself: settings, model.yaml files, the state folder's disk, the control token."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

from homeostat.doctor.check import Finding, broken, ok, warning

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.doctor.deployment import Deployment

_FULL, _TIGHT = 200 * 1024**2, 2 * 1024**3
_SHORT_TOKEN = 20


def look_at_settings(deployment: Deployment) -> Finding:
    """The folder of models, and that the settings fit what the models ask for."""
    settings = deployment.settings
    if not settings.models.is_dir():
        return broken(
            f"{settings.models} is not there", "set HOMEOSTAT_MODELS to the folder of model folders"
        )
    needs = []
    if detected := deployment.detected():
        if not settings.triggers:
            needs.append(f"{detected[0].name} has monitor.runs_on: lambda, and HOMEOSTAT_TRIGGERS is not set")
        if not settings.store.startswith("s3://"):
            needs.append(f"{detected[0].name} has monitor.runs_on: lambda, and HOMEOSTAT_STORE is not in S3")
    if (trained := deployment.trained_in_aws()) and settings.ecs is None:
        needs.append(f"{trained[0].name} has training.runs_on: ecs, and HOMEOSTAT_ECS is not set")
    if trained and not settings.store.startswith("s3://"):
        needs.append(f"{trained[0].name} has training.runs_on: ecs, and HOMEOSTAT_STORE is not in S3")
    if needs:
        return broken("; ".join(needs), "take them from `terraform output -json airflow_environment`")
    if not settings.model_names():
        return warning(f"no models in {settings.models}", "`homeostat new MODEL` writes one that works")
    return ok("readable, and all that the models ask for is set")


def look_at_model(model: ModelConfig) -> Finding:
    """What was read is what runs."""
    parts = [f"checked every {_short(model.monitor.every)} by {_WATCHED[model.monitor.runs_on]}"]
    if model.training.runs_on == "ecs":
        parts.append("trained by Fargate")
    if not (model.folder / model.pipeline.partition(":")[0]).is_file():
        return broken(
            f"{model.pipeline.partition(':')[0]} is not in {model.folder}",
            "write it there, or name another file under pipeline",
        )
    return ok(", ".join(parts))


_WATCHED = {"airflow": "Airflow", "lambda": "a function in AWS"}


def _short(duration: timedelta) -> str:
    from homeostat.doctor.check import span

    return span(duration) if duration != timedelta(hours=1) else "hour"


def look_at_disk(deployment: Deployment) -> Finding:
    """Room for journal, cache and, on one machine, ledger and store."""
    folder = deployment.settings.state
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    sentence = f"{_size(usage.free)} of {_size(usage.total)} free"
    cure = f"make room: the gateway's journal and cache lie in {deployment.settings.state}"
    if usage.free < _FULL:
        return broken(sentence, cure)
    return warning(sentence, cure) if usage.free < _TIGHT else ok(sentence)


def _size(count: int) -> str:
    return f"{count / 1024**3:.1f} GB" if count >= 1024**3 else f"{count / 1024**2:.0f} MB"


def look_at_token(deployment: Deployment) -> Finding:
    """Set, and not to be guessed."""
    token = deployment.settings.control_token
    cure = (
        "set HOMEOSTAT_CONTROL_TOKEN to 32 random characters, here and at the gateways; `make env` makes one"
    )
    if not token:
        return warning("not set: gateways take no orders, and a rollback goes through the ledger alone", cure)
    if len(token) < _SHORT_TOKEN:
        return warning(f"set, with {len(token)} characters: short enough to be guessed", cure)
    return ok("set")
