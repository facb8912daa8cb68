"""The drift-check Lambda function, each model's schedule, and the model state published for it."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from homeostat.config.errors import NotFound
from homeostat.core.trigger import silent_after
from homeostat.doctor.aws.schedule_interval import longest_gap
from homeostat.doctor.check import Finding, broken, format_span, ok, warning
from homeostat.doctor.connect import aws_clients

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.doctor.deployment import Deployment

APPLY = "`terraform apply` in infra/terraform"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def check_function(deployment: Deployment) -> Finding:
    """Check that the function is active and has our store, our queue and a pinned image."""
    deployment.aws.get_or_skip()
    name = function_name(deployment)
    try:
        with aws_clients.translate_errors("lambda:GetFunctionConfiguration"):
            found = aws_clients.lambda_client().get_function_configuration(FunctionName=name)
    except NotFound:
        return broken(
            f"the Lambda function {name} does not exist",
            f"run {APPLY}, or set HOMEOSTAT_PROJECT to `project` of terraform.tfvars",
        )
    if found.get("State", "Active") != "Active":
        reason = found.get("StateReason", "AWS gives no reason")
        return broken(
            f"the function's state is {found.get('State')}: {reason}",
            "fix the reason; a function that is only Inactive starts again when it is invoked",
        )
    env = found.get("Environment", {}).get("Variables", {})
    if wrong := _differences(deployment, env):
        return broken(
            "; ".join(wrong),
            f"run {APPLY}, and set the variables here from `terraform output -json airflow_environment`",
        )
    image = env.get("HOMEOSTAT_IMAGE_DIGEST", "")
    if found.get("PackageType") != "Image" or not _DIGEST.fullmatch(image):
        return warning(
            "the image is not pinned by digest: a tag can move to another image",
            f"push the image with infra/aws/push_images.sh, then run {APPLY}",
        )
    return ok(f"active, image {image[:19]}, same store and queue as here")


def function_name(deployment: Deployment) -> str:
    """Return the function's name in infra/terraform/lambda.tf."""
    return f"{deployment.settings.project}-detector"


def _differences(deployment: Deployment, env: dict[str, str]) -> list[str]:
    settings = deployment.settings
    ours = {"HOMEOSTAT_STORE": settings.store, "HOMEOSTAT_TRIGGERS": settings.triggers}
    return [
        f"{name} is {env.get(name) or 'not set'} in the function and {value or 'not set'} here"
        for name, value in ours.items()
        if env.get(name, "").rstrip("/") != value.rstrip("/")
    ]


def check_schedule(deployment: Deployment, model: ModelConfig) -> Finding:
    """Check that the model's schedule is enabled, frequent enough, and starts the function for this model."""
    deployment.aws.get_or_skip()
    group = deployment.settings.project
    try:
        with aws_clients.translate_errors("scheduler:GetSchedule"):
            found = aws_clients.scheduler().get_schedule(GroupName=group, Name=model.name)
    except NotFound:
        return broken(
            f"schedule {group}/{model.name} does not exist: drift checks will not run",
            f"add {model.name} to models in terraform.tfvars, then run {APPLY}",
        )
    return _check_schedule(deployment, model, found)


def _check_schedule(deployment: Deployment, model: ModelConfig, found: Any) -> Finding:
    target, expression = found.get("Target", {}), found["ScheduleExpression"]
    event, gap = _event(target.get("Input", "")), longest_gap(expression)
    every = format_span(model.monitor.every)
    if found.get("State") != "ENABLED":
        return broken(
            "the schedule is disabled: drift checks do not run",
            f"set enabled = true for {model.name} in terraform.tfvars, then run {APPLY}",
        )
    if event.get("model") != model.name or "window_end" not in event:
        sent = target.get("Input", "nothing")
        return broken(f"the schedule sends {sent!r}, without this model or a window_end", f"run {APPLY}")
    name = function_name(deployment)
    if not target.get("Arn", "").endswith(f":function:{name}"):
        return broken(f"the schedule starts another function than {name}", f"run {APPLY}")
    if gap is None:
        return warning(
            f"the interval of {expression} is unknown",
            f"make sure that it starts a check every {every}",
        )
    if gap > model.monitor.every:
        return broken(
            f"{expression} leaves up to {format_span(gap)} between checks, monitor.every is {every}",
            f"set every of {model.name} in terraform.tfvars to monitor.every, then run {APPLY}",
        )
    return ok(f"enabled, {expression}")


def _event(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def check_model_state(deployment: Deployment, model: ModelConfig) -> Finding:
    """Check that the model state published for the function exists, is readable and recent."""
    from homeostat.storage.model_state import load_published_state

    store, dag = deployment.store.get_or_skip().store, f"drift_check__{model.name}"
    remedy = f"in Airflow, check whether the DAG {dag}, which publishes it, is paused or fails"
    try:
        published = load_published_state(store, model.name)
    except NotFound:
        return broken(
            f"published/{model.name}.json is missing: the Lambda function cannot check the model",
            remedy,
        )
    age = max(deployment.now() - published.at, timedelta(0))
    if age > silent_after(model.monitor.every):
        return broken(
            f"published {format_span(age)} ago: the Lambda function works with outdated model state", remedy
        )
    if published.config.monitor.runs_on != "lambda":
        return warning(
            "published with monitor.runs_on: airflow, so the Lambda function refuses to check the model",
            f"run the DAG {dag} in Airflow, which publishes the model state again",
        )
    return ok(f"published {format_span(age)} ago")
