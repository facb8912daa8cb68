"""Checks of this machine: settings, model.yaml files, free disk space, control token."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

from homeostat.doctor.check import Finding, broken, format_span, ok, warning

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.doctor.deployment import Deployment

_BROKEN_BELOW, _WARN_BELOW = 200 * 1024**2, 2 * 1024**3
_MIN_TOKEN_LENGTH = 20
_CHECKED_BY = {"airflow": "by Airflow", "lambda": "by the drift-check Lambda function"}


def check_settings(deployment: Deployment) -> Finding:
    """Check that the models folder exists and that every setting that a model needs is set."""
    settings = deployment.settings
    if not settings.models.is_dir():
        return broken(
            f"the folder {settings.models} does not exist",
            "set HOMEOSTAT_MODELS to the folder that holds your model folders",
        )
    missing = []
    if on_lambda := deployment.checked_by_lambda():
        has = f"{on_lambda[0].name} has monitor.runs_on: lambda"
        if not settings.triggers:
            missing.append(f"{has}, but HOMEOSTAT_TRIGGERS is not set")
        if not settings.store.startswith("s3://"):
            missing.append(f"{has}, but HOMEOSTAT_STORE is not on S3")
    if on_fargate := deployment.trained_on_fargate():
        has = f"{on_fargate[0].name} has training.runs_on: ecs"
        if settings.ecs is None:
            missing.append(f"{has}, but HOMEOSTAT_ECS is not set")
        if not settings.store.startswith("s3://"):
            missing.append(f"{has}, but HOMEOSTAT_STORE is not on S3")
    if missing:
        return broken("; ".join(missing), "set them from `terraform output -json airflow_environment`")
    if not settings.model_names():
        return warning(f"no models in {settings.models}", "`homeostat new MODEL` creates one from a template")
    return ok("valid, and complete for these models")


def check_model_yaml(model: ModelConfig) -> Finding:
    """Check that the pipeline's file exists; report where the model is checked and trained."""
    file = model.pipeline.partition(":")[0]
    if not (model.folder / file).is_file():
        return broken(f"no file {file} in {model.folder}", "create it, or correct `pipeline` in model.yaml")
    every = "hour" if model.monitor.every == timedelta(hours=1) else format_span(model.monitor.every)
    training = ", trained on Fargate" if model.training.runs_on == "ecs" else ""
    return ok(f"checked every {every} {_CHECKED_BY[model.monitor.runs_on]}{training}")


def check_disk_space(deployment: Deployment) -> Finding:
    """Check the free space for journal and cache and, on one machine, for ledger and store."""
    folder = deployment.settings.state
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    sentence = f"{_format_size(usage.free)} of {_format_size(usage.total)} free"
    remedy = f"free disk space: the gateway keeps its journal and cache in {deployment.settings.state}"
    if usage.free < _BROKEN_BELOW:
        return broken(sentence, remedy)
    return warning(sentence, remedy) if usage.free < _WARN_BELOW else ok(sentence)


def _format_size(size: int) -> str:
    return f"{size / 1024**3:.1f} GB" if size >= 1024**3 else f"{size / 1024**2:.0f} MB"


def check_control_token(deployment: Deployment) -> Finding:
    """Check that the control token is set and not guessable."""
    token = deployment.settings.control_token
    remedy = (
        "set HOMEOSTAT_CONTROL_TOKEN to 32 random characters, here and on every gateway (`make env` "
        "generates one)"
    )
    if not token:
        return warning(
            "not set: gateways refuse control requests, and a rollback goes through the ledger",
            remedy,
        )
    if len(token) < _MIN_TOKEN_LENGTH:
        return warning(f"only {len(token)} characters long: it can be guessed", remedy)
    return ok("set")
