"""The DAGs of every model in a folder: what a DAG file calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from homeostat.config import Settings
from homeostat_airflow.connection import DEFAULT_CONN_ID, environment
from homeostat_airflow.dag_factory import error_dag
from homeostat_airflow.dag_options import MODEL_YAML, DagOptions, Schedule
from homeostat_airflow.drift_check_dag import drift_check_dag
from homeostat_airflow.retrain_dag import retrain_dag

if TYPE_CHECKING:
    from airflow.sdk import DAG


def homeostat_dags(
    models: str | Path | None = None,
    *,
    prefix: str = "",
    tags: Sequence[str] = ("homeostat",),
    pool: str | Mapping[str, str] | None = None,
    schedule: Schedule | Mapping[str, Schedule] = MODEL_YAML,
    owner: str | Mapping[str, str] | None = None,
    homeostat_conn_id: str = DEFAULT_CONN_ID,
) -> dict[str, DAG]:
    """Return ``drift_check__<model>`` and ``retrain__<model>`` of every model in a folder, by DAG id.

    With HOMEOSTAT_TRIGGERS also ``consume_retrain_triggers``. A model whose model.yaml cannot be read gets
    DAGs that show the error. A DAG file holds, for example::

        from homeostat_airflow import homeostat_dags

        globals().update(homeostat_dags("/opt/models"))

    Parameters
    ----------
    models
        The folder of model folders: a path, also inside a DAG bundle (``Path(__file__).parent / "models"``),
        or ``s3://bucket/prefix``, which is copied at each parse. Default: HOMEOSTAT_MODELS.
    prefix
        Begins every DAG id and every asset's name, such as ``ml_``.
    tags
        Tags of every DAG; the model's name is added.
    pool
        Pool of every task, or pools by model. Default: Airflow's.
    schedule
        When drift is checked, a cron expression or a period; None for manual runs only; or schedules by
        model. Default: ``monitor.every`` of each model.yaml.
    owner
        Owner of every task, or owners by model. Default: Airflow's.
    homeostat_conn_id
        The connection with ledger, store, MLflow and gateway; see the connection type Homeostat.

    Raises
    ------
    ConfigError
        The folder does not exist, or is neither a path nor an S3 prefix.
    Unavailable
        The object store does not respond.
    """
    options = DagOptions(str(models or ""), prefix, tuple(tags), pool, schedule, owner, homeostat_conn_id)
    settings = Settings.from_env(environment({}, options.models))
    found: list[DAG] = []
    for model in settings.each_model():
        if isinstance(model, tuple):
            found += [error_dag(f"{prefix}{kind}", *model, tags=tags) for kind in ("drift_check", "retrain")]
        else:
            found += [drift_check_dag(model, options, settings.project), retrain_dag(model, options)]
    if settings.triggers:
        from homeostat_airflow.trigger_queue_dag import trigger_queue_dag  # imports Amazon's provider

        found.append(trigger_queue_dag(settings.triggers, options))
    return {dag.dag_id: dag for dag in found}
