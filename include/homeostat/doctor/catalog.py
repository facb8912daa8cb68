"""Which checks there are for this deployment, in the order in which people read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from homeostat.config.redaction import redact_userinfo
from homeostat.doctor import airflow, gateway, ledger, store
from homeostat.doctor import check_freshness as watching
from homeostat.doctor import clock_skew as clocks
from homeostat.doctor import local_checks as machine
from homeostat.doctor import mlflow as tracking
from homeostat.doctor.aws import account, bucket, fargate, queues
from homeostat.doctor.aws import lambda_function as detector
from homeostat.doctor.check import LIMIT, Finding, Probe, broken, skipped

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.doctor.deployment import Deployment

#: A bundle is read whole, however large.
_BUNDLE_LIMIT = 120.0


def plan(
    deployment: Deployment, unreadable: Sequence[tuple[str, str]] = (), trouble: str = ""
) -> list[Probe]:
    """Every check of this deployment.

    Parameters
    ----------
    deployment
        What is looked at.
    unreadable
        Folder and error of each model.yaml that cannot be read.
    trouble
        What is wrong with the settings, if anything.
    """
    return [
        *_here(deployment, unreadable, trouble),
        *_services(deployment),
        *_clocks(deployment),
        *(probe for model in deployment.models for probe in _model(deployment, model)),
        *_aws(deployment),
    ]


def _here(deployment: Deployment, unreadable: Sequence[tuple[str, str]], trouble: str) -> Iterator[Probe]:
    settings = deployment.settings

    def settings_themselves() -> Finding:
        if trouble:
            return broken(trouble, "the rest was looked at without it")
        return machine.look_at_settings(deployment)

    yield Probe("settings", "environment", settings_themselves)
    for folder, error in unreadable:
        yield Probe(
            "model.yaml", folder, _saying(broken(error, "mend the file; Airflow shows it as a broken DAG"))
        )
    for model in deployment.models:
        yield Probe("model.yaml", model.name, lambda model=model: machine.look_at_model(model))  # type: ignore[misc]  # mypy knows no default in a lambda
    yield Probe("disk", str(settings.state), lambda: machine.look_at_disk(deployment))
    yield Probe("control token", "HOMEOSTAT_CONTROL_TOKEN", lambda: machine.look_at_token(deployment))


def _services(deployment: Deployment) -> Iterator[Probe]:
    settings = deployment.settings
    yield Probe(
        "store",
        settings.store,
        lambda: store.look(deployment),
        "see that HOMEOSTAT_STORE is right, that the server runs, and that these credentials may use it",
    )
    yield Probe(
        "ledger",
        ledger.about(deployment),
        lambda: ledger.look(deployment),
        "see that HOMEOSTAT_LEDGER is right, and that the database runs",
    )
    yield Probe(
        "mlflow",
        redact_userinfo(settings.tracking_uri),
        lambda: tracking.look(deployment),
        "see that MLFLOW_TRACKING_URI is right, and that MLflow runs (`homeostat up` starts one)",
    )
    yield Probe(
        "gateway",
        redact_userinfo(settings.gateway),
        lambda: gateway.look(deployment),
        "see that HOMEOSTAT_GATEWAY is right, and that it runs",
    )
    where = redact_userinfo(deployment.env.get(airflow.VARIABLE, "") or "address not set")
    yield Probe(
        "airflow",
        where,
        lambda: airflow.look(deployment),
        f"see that {airflow.VARIABLE} is right, and that Airflow runs",
    )


def _clocks(deployment: Deployment) -> Iterator[Probe]:
    yield Probe("clock", "MLflow", lambda: clocks.judge("MLflow", deployment.mlflow.needed().offset))
    yield Probe("clock", "gateway", lambda: clocks.judge("the gateway", deployment.gateway.needed().offset))
    if not deployment.settings.ledger.startswith("sqlite"):
        yield Probe("clock", "ledger", lambda: clocks.judge("the ledger", deployment.ledger.needed().offset))
    if deployment.settings.store.startswith("s3://"):
        yield Probe("clock", "store", lambda: clocks.judge("the store", deployment.store.needed().offset))


_Look = Callable[["Deployment", "ModelConfig"], Finding]


def _model(deployment: Deployment, model: ModelConfig) -> Iterator[Probe]:
    looks: tuple[tuple[str, _Look, float], ...] = (
        ("champion", tracking.look_at_champion, LIMIT),
        ("bundle", tracking.look_at_bundle, _BUNDLE_LIMIT),
        ("serving", gateway.look_at_version, LIMIT),
        ("last check", watching.look, LIMIT),
        ("retrain", ledger.look_at_lease, LIMIT),
    )
    for name, look, limit in looks:
        yield _about(deployment, model, name, look, limit)


def _about(deployment: Deployment, model: ModelConfig, name: str, look: _Look, limit: float = LIMIT) -> Probe:
    return Probe(name, model.name, lambda: look(deployment, model), limit=limit)


def _aws(deployment: Deployment) -> Iterator[Probe]:
    settings = deployment.settings
    if not account.needed_by(deployment):
        yield Probe("aws", "-", _saying(skipped("nothing of this deployment is in AWS")))
        return
    yield Probe("aws credentials", "caller", lambda: account.look(deployment), "see that sts can be reached")
    if settings.store.startswith("s3://"):
        yield Probe("bucket", settings.store, lambda: bucket.look(deployment))
    if settings.triggers:
        yield Probe("queue", settings.triggers.rpartition("/")[2], lambda: queues.look(deployment))
        yield Probe("dead letters", settings.project, lambda: queues.look_at_dead_letters(deployment))
    if deployment.detected():
        yield Probe("failed checks", settings.project, lambda: queues.look_at_failures(deployment))
        yield Probe("detector", detector.function_of(deployment), lambda: detector.look(deployment))
    for model in deployment.detected():
        yield _about(deployment, model, "schedule", detector.look_at_schedule)
        yield _about(deployment, model, "published", detector.look_at_published)
    if settings.ecs is not None:
        yield Probe("cluster", settings.ecs.cluster, lambda: fargate.look_at_cluster(deployment))
        yield Probe("training task", settings.ecs.task_definition, lambda: fargate.look_at_task(deployment))


def _saying(finding: Finding) -> Callable[[], Finding]:
    return lambda: finding
