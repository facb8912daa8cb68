"""The DAGs of every model in a folder: what a DAG file calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import get_parsing_context

from homeostat.config import Settings
from homeostat_airflow.connection import DEFAULT_CONN_ID, environment
from homeostat_airflow.dag_factory import error_dag
from homeostat_airflow.dag_options import MODEL_YAML, DagOptions, Schedule
from homeostat_airflow.drift_check_dag import drift_check_dag
from homeostat_airflow.maintenance_dag import maintenance_dag
from homeostat_airflow.retrain_dag import retrain_dag

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from homeostat.config import ModelConfig

CHECK, RETRAIN, QUEUE, LOGS = "drift_check", "retrain", "consume_retrain_triggers", "join_log_files"
#: The DAGs of every model.
KINDS = (CHECK, RETRAIN)


def homeostat_dags(
    models: str | Path | None = None,
    *,
    prefix: str = "",
    tags: Sequence[str] = ("homeostat",),
    pool: str | Mapping[str, str] | None = None,
    schedule: Schedule | Mapping[str, Schedule] = MODEL_YAML,
    owner: str | Mapping[str, str] | None = None,
    homeostat_conn_id: str = DEFAULT_CONN_ID,
    maintenance: bool = True,
) -> dict[str, DAG]:
    """Return ``drift_check__<model>`` and ``retrain__<model>`` of every model in a folder, by DAG id.

    And ``join_log_files``, once for all models; with HOMEOSTAT_TRIGGERS also ``consume_retrain_triggers``. A
    model whose model.yaml cannot be read gets DAGs that show the error. Where Airflow runs a task, only the
    DAG of that task is made. A DAG file holds,
    for example::

        from homeostat_airflow import homeostat_dags

        globals().update(homeostat_dags("/opt/models"))

    Parameters
    ----------
    models
        The folder of model folders: a path, also inside a DAG bundle (``Path(__file__).parent / "models"``),
        or ``s3://bucket/prefix``, of which a copy is kept, see HOMEOSTAT_MODELS_REFRESH. Models may lie in
        subfolders. Default: HOMEOSTAT_MODELS.
    prefix
        Begins every DAG id and every asset's name, such as ``ml_``.
    tags
        Tags of every DAG; the model's name is added.
    pool
        Pool of every task, or pools by model; ``airflow.pool`` in model.yaml goes before. Default: Airflow's.
    schedule
        When drift is checked, a cron expression or a period; None for manual runs only; or schedules by
        model. Default: ``monitor.every`` and ``monitor.delay`` of each model.yaml.
    owner
        Owner of every task, or owners by model. Default: Airflow's.
    homeostat_conn_id
        The connection with ledger, store, MLflow and gateway; see the connection type Homeostat.
    maintenance
        Whether ``join_log_files`` is made: of several DAG files with one ledger, by one of them. It is for
        all models in the ledger.

    Raises
    ------
    ConfigError
        The folder does not exist, or is neither a path nor an S3 prefix.
    Unavailable
        The object store does not respond.
    """
    options = DagOptions(
        str(models or ""), prefix, tuple(tags), pool, schedule, owner, homeostat_conn_id, maintenance
    )
    asked = get_parsing_context().dag_id
    found = _every_dag(options) if asked is None else _one_dag(options, asked)
    for dag in found:
        dag.auto_register = True
        with dag:  # Airflow finds it even where the DAG file keeps no name for it
            pass
    return {dag.dag_id: dag for dag in found}


def _every_dag(options: DagOptions) -> list[DAG]:
    settings = _settings(options)
    found = []
    for model in settings.each_model():
        found += [_dag(kind, model, options, settings.project) for kind in KINDS]
    if found and options.maintenance:
        found.append(maintenance_dag(options))
    if settings.triggers:
        found.append(_trigger_queue_dag(settings, options))
    return found


def _one_dag(options: DagOptions, asked: str) -> list[DAG]:
    """Return the DAG of the task that this process runs, so that its parse does not depend on the others."""
    if not asked.startswith(options.prefix):
        return []
    kind, _, name = asked.removeprefix(options.prefix).partition("__")
    if kind == LOGS and options.maintenance and not name:
        return [maintenance_dag(options)]
    settings = _settings(options, name)
    if kind == QUEUE and settings.triggers and not name:
        return [_trigger_queue_dag(settings, options)]
    if kind not in KINDS:
        return []
    model = settings.find_model(name)
    return [] if model is None else [_dag(kind, model, options, settings.project)]


def _dag(kind: str, model: ModelConfig | tuple[str, str], options: DagOptions, project: str) -> DAG:
    """Return a model's DAG, or one that shows why there is none."""
    prefix, tags = f"{options.prefix}{kind}", options.tags
    if isinstance(model, tuple):
        return error_dag(prefix, *model, tags=tags)
    try:
        if kind == RETRAIN:
            return retrain_dag(model, options)
        return drift_check_dag(model, options, project)
    except Exception as error:  # noqa: BLE001  # one model must not take the DAGs of the others away
        return error_dag(prefix, model.name, f"{model.folder / 'model.yaml'}: {error}", tags=tags)


def _settings(options: DagOptions, model: str = "") -> Settings:
    return Settings.from_env(environment({}, options.models, model))


def _trigger_queue_dag(settings: Settings, options: DagOptions) -> DAG:
    from homeostat_airflow.trigger_queue_dag import trigger_queue_dag  # imports Amazon's provider

    return trigger_queue_dag(settings.triggers, options)
