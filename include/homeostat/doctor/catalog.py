"""The list of checks for a deployment, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from homeostat.config.redaction import redact_userinfo
from homeostat.doctor import (
    airflow,
    check_freshness,
    clock_skew,
    gateway,
    ledger,
    local_checks,
    mlflow,
    rollout_pace,
    source,
    store,
    undelivered,
)
from homeostat.doctor.aws import account, bucket, fargate, lambda_function, queues
from homeostat.doctor.check import TIME_LIMIT, Finding, Probe, broken, skipped

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.doctor.deployment import Deployment

#: Time limit for a bundle, which is downloaded whole; in seconds.
_BUNDLE_LIMIT = 120.0


def build_probes(
    deployment: Deployment, unreadable: Sequence[tuple[str, str]] = (), settings_error: str = ""
) -> list[Probe]:
    """Return every check of this deployment.

    Parameters
    ----------
    deployment
        The deployment to check.
    unreadable
        Folder and error of each invalid model.yaml.
    settings_error
        The error in the settings, if any.
    """
    return [
        *_local(deployment, unreadable, settings_error),
        *_services(deployment),
        *_clocks(deployment),
        *(probe for model in deployment.models for probe in _model(deployment, model)),
        *_aws(deployment),
    ]


def _local(
    deployment: Deployment, unreadable: Sequence[tuple[str, str]], settings_error: str
) -> Iterator[Probe]:
    settings = deployment.settings
    if settings_error:
        finding = broken(settings_error, "correct it; the other checks ran without this setting")
        yield Probe("settings", "environment", _known(finding))
    else:
        yield Probe("settings", "environment", partial(local_checks.check_settings, deployment))
    for folder, error in unreadable:
        finding = broken(error, "correct the file; until then Airflow shows an import error for this model")
        yield Probe("model.yaml", folder, _known(finding))
    for model in deployment.models:
        yield Probe("model.yaml", model.name, partial(local_checks.check_model_yaml, model))
    yield Probe("disk", str(settings.state), partial(local_checks.check_disk_space, deployment))
    check_token = partial(local_checks.check_control_token, deployment)
    yield Probe("control token", "HOMEOSTAT_CONTROL_TOKEN", check_token)


def _services(deployment: Deployment) -> Iterator[Probe]:
    settings = deployment.settings
    yield Probe(
        "store",
        settings.store,
        partial(store.check_store, deployment),
        "check that HOMEOSTAT_STORE is right, that the server runs, and that these credentials may use it",
    )
    yield Probe(
        "ledger",
        ledger.ledger_address(deployment),
        partial(ledger.check_ledger, deployment),
        "check that HOMEOSTAT_LEDGER is right and that the database runs",
    )
    yield Probe(
        "mlflow",
        redact_userinfo(settings.tracking_uri),
        partial(mlflow.check_mlflow, deployment),
        "check that MLFLOW_TRACKING_URI is right and that MLflow runs (`homeostat up` starts it)",
    )
    yield Probe(
        "gateway",
        redact_userinfo(settings.gateway),
        partial(gateway.check_gateway, deployment),
        "check that HOMEOSTAT_GATEWAY is right and that the gateway runs",
    )
    address = redact_userinfo(airflow.address(deployment) or "address not set")
    yield Probe(
        "airflow",
        address,
        partial(airflow.check_airflow, deployment),
        f"check that {airflow.VARIABLE} is right and that Airflow runs",
    )


def _clocks(deployment: Deployment) -> Iterator[Probe]:
    check = clock_skew.check_offset
    yield Probe("clock", "MLflow", lambda: check("MLflow", deployment.mlflow.get_or_skip().offset))
    yield Probe("clock", "gateway", lambda: check("the gateway", deployment.gateway.get_or_skip().offset))
    if not deployment.settings.ledger.startswith("sqlite"):
        yield Probe("clock", "ledger", lambda: check("the ledger", deployment.ledger.get_or_skip().offset))
    if deployment.settings.store.startswith("s3://"):
        yield Probe("clock", "store", lambda: check("the store", deployment.store.get_or_skip().offset))


_ModelCheck = Callable[["Deployment", "ModelConfig"], Finding]


def _model(deployment: Deployment, model: ModelConfig) -> Iterator[Probe]:
    checks: tuple[tuple[str, _ModelCheck, float], ...] = (
        ("champion", mlflow.check_champion, TIME_LIMIT),
        ("bundle", mlflow.check_bundle, _BUNDLE_LIMIT),
        ("serving", gateway.check_served_version, TIME_LIMIT),
        ("trusted types", gateway.check_trusted_types, TIME_LIMIT),
        ("source", source.check_source, TIME_LIMIT),
        ("last check", check_freshness.check_last_window, TIME_LIMIT),
        ("rollout pace", rollout_pace.check_rollout_pace, TIME_LIMIT),
        ("retrain lease", ledger.check_retrain_lease, TIME_LIMIT),
        ("notices", undelivered.check_notices, TIME_LIMIT),
    )
    for name, check, limit in checks:
        yield Probe(name, model.name, partial(check, deployment, model), limit=limit)


def _aws(deployment: Deployment) -> Iterator[Probe]:
    settings = deployment.settings
    if not account.settings_in_aws(deployment):
        yield Probe("aws", "-", _known(skipped("this deployment uses no AWS service")))
        return
    yield Probe(
        "aws credentials",
        "caller",
        partial(account.check_credentials, deployment),
        "check that this machine can reach AWS STS",
    )
    if settings.store.startswith("s3://"):
        yield Probe("bucket", settings.store, partial(bucket.check_bucket, deployment))
    if settings.triggers:
        queue = settings.triggers.rpartition("/")[2]
        yield Probe("trigger queue", queue, partial(queues.check_trigger_queue, deployment))
        yield Probe("dead letters", settings.project, partial(queues.check_dead_letters, deployment))
    on_lambda = deployment.checked_by_lambda()
    if on_lambda:
        name = lambda_function.function_name(deployment)
        yield Probe("failed checks", settings.project, partial(queues.check_failed_checks, deployment))
        yield Probe("lambda function", name, partial(lambda_function.check_function, deployment))
    for model in on_lambda:
        yield Probe("schedule", model.name, partial(lambda_function.check_schedule, deployment, model))
        yield Probe("model state", model.name, partial(lambda_function.check_model_state, deployment, model))
    if (ecs := settings.ecs) is not None:
        yield Probe("cluster", ecs.cluster, partial(fargate.check_cluster, deployment, ecs))
        yield Probe(
            "training task", ecs.task_definition, partial(fargate.check_task_definition, deployment, ecs)
        )


def _known(finding: Finding) -> Callable[[], Finding]:
    """Return a check whose finding is known already."""
    return lambda: finding
