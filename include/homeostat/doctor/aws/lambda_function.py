"""The drift detector: its function, each model's schedule, and what it is told of each model."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from homeostat.config.errors import NotFound
from homeostat.doctor.aws.schedule_interval import longest_gap
from homeostat.doctor.check import Finding, broken, ok, span, warning
from homeostat.doctor.check_freshness import SILENCE
from homeostat.doctor.connect import aws_clients

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.doctor.deployment import Deployment

APPLY = "`terraform apply` in infra/terraform"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def look(deployment: Deployment) -> Finding:
    """There, active, pinned by digest, with our store and our queue."""
    deployment.aws.needed()
    name = function_of(deployment)
    try:
        with aws_clients.asking("lambda:GetFunctionConfiguration"):
            found = aws_clients.functions().get_function_configuration(FunctionName=name)
    except NotFound:
        return broken(
            f"there is no function {name}", f"{APPLY} makes it; HOMEOSTAT_PROJECT is part of its name"
        )
    if found.get("State", "Active") != "Active":
        said = f"{found.get('State')}: {found.get('StateReason', 'no reason given')}"
        return broken(said, "AWS says why; after long silence the next start wakes it")
    env = found.get("Environment", {}).get("Variables", {})
    if wrong := _differences(deployment, env):
        return broken("; ".join(wrong), f"{APPLY}, and `terraform output -json airflow_environment` here")
    image = env.get("HOMEOSTAT_IMAGE_DIGEST", "")
    if found.get("PackageType") != "Image" or not _DIGEST.fullmatch(image):
        return warning(
            "its image is not pinned by digest, so that nobody can say what runs",
            f"push with infra/aws/push_images.sh, then {APPLY}",
        )
    return ok(f"active, image {image[:19]}, with this store and this queue")


def function_of(deployment: Deployment) -> str:
    """The function's name, as Terraform makes it."""
    return f"{deployment.settings.project}-detector"


def _differences(deployment: Deployment, env: dict[str, str]) -> list[str]:
    settings = deployment.settings
    ours = {"HOMEOSTAT_STORE": settings.store, "HOMEOSTAT_TRIGGERS": settings.triggers}
    return [
        f"{name} is {env.get(name) or 'not set'} there and {value or 'not set'} here"
        for name, value in ours.items()
        if env.get(name, "").rstrip("/") != value.rstrip("/")
    ]


def look_at_schedule(deployment: Deployment, model: ModelConfig) -> Finding:
    """There, enabled, often enough, and about this model."""
    deployment.aws.needed()
    group = deployment.settings.project
    try:
        with aws_clients.asking("scheduler:GetSchedule"):
            found = aws_clients.schedules().get_schedule(GroupName=group, Name=model.name)
    except NotFound:
        return broken(
            f"there is no schedule {group}/{model.name}: nobody starts its check",
            f"add {model.name} to models in terraform.tfvars, and {APPLY}",
        )
    return _judge(deployment, model, found)


def _judge(deployment: Deployment, model: ModelConfig, found: Any) -> Finding:
    target, expression = found.get("Target", {}), found["ScheduleExpression"]
    event, mend = _event(target.get("Input", "")), f"correct {model.name} in terraform.tfvars, and {APPLY}"
    due, gap = span(model.monitor.every), longest_gap(expression)
    if found.get("State") != "ENABLED":
        return broken(
            "it is disabled", f"set enabled = true for {model.name} in terraform.tfvars, and {APPLY}"
        )
    if event.get("model") != model.name or "window_end" not in event:
        sent = target.get("Input", "nothing")
        return broken(f"it sends {sent!r}, which does not name this model and a window", APPLY)
    if not target.get("Arn", "").endswith(f":function:{function_of(deployment)}"):
        return broken("it starts another function than this project's detector", APPLY)
    if gap is None:
        return warning(f"{expression} is not understood here", f"see that it starts a check every {due}")
    if gap > model.monitor.every:
        said = f"{expression} leaves up to {span(gap)} between checks"
        return broken(f"{said}; model.yaml says every {due}", mend)
    return ok(f"enabled, {expression}")


def _event(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def look_at_published(deployment: Deployment, model: ModelConfig) -> Finding:
    """What the detector is told of the model is there, can be read, and is of late."""
    from homeostat.storage.model_state import load_published_state

    store, dag = deployment.store.needed().store, f"drift_check__{model.name} in Airflow publishes it"
    try:
        published = load_published_state(store, model.name)
    except NotFound:
        what = f"published/{model.name}.json is not there: the detector knows nothing of this model"
        return broken(what, f"{dag}: see whether it is paused or fails")
    age = max(deployment.now() - published.at, timedelta(0))
    if age > SILENCE * model.monitor.every:
        return broken(
            f"published {span(age)} ago: the detector works by what was true then",
            f"{dag}: see whether it is paused or fails",
        )
    if published.config.monitor.runs_on != "lambda":
        return warning("published as a model that Airflow checks: the detector refuses it", f"{dag} anew")
    return ok(f"published {span(age)} ago")
