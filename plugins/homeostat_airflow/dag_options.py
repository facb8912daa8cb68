"""What :func:`~homeostat_airflow.homeostat_dags` is given, and how each DAG and each task uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import DAG

from homeostat_airflow.connection import DEFAULT_CONN_ID
from homeostat_airflow.dag_factory import RETRIES, START
from homeostat_airflow.executor_config import task_options
from homeostat_airflow.shown_result import SHOWN_RESULT

if TYPE_CHECKING:
    from homeostat.config.airflow_options import AirflowOptions

T = TypeVar("T")
#: The schedule of drift checks: ``monitor.every`` of each model.yaml.
MODEL_YAML = "model.yaml"
Schedule = str | timedelta | None


@dataclass(frozen=True, slots=True)
class DagOptions:
    """See the parameters of :func:`~homeostat_airflow.homeostat_dags`."""

    models: str = ""
    prefix: str = ""
    tags: Sequence[str] = ("homeostat",)
    pool: str | Mapping[str, str] | None = None
    schedule: Schedule | Mapping[str, Schedule] = MODEL_YAML
    owner: str | Mapping[str, str] | None = None
    homeostat_conn_id: str = DEFAULT_CONN_ID
    maintenance: bool = True

    def schedule_of(self, model: str) -> Schedule:
        """Return a cron expression, a period, None for manual runs only, or :data:`MODEL_YAML`."""
        if isinstance(self.schedule, Mapping):
            return self.schedule.get(model, MODEL_YAML)
        return self.schedule

    @property
    def connected(self) -> dict[str, Any]:
        """Arguments of every operator."""
        return {"models": self.models, "homeostat_conn_id": self.homeostat_conn_id}

    def step(self, model: str) -> dict[str, Any]:
        """Arguments of the operators of one model."""
        return {"model": model, **self.connected}

    def dag(
        self,
        name: str,
        model: str = "",
        *,
        tags: Sequence[str] = (),
        kind: type[DAG] = DAG,
        airflow: AirflowOptions | None = None,
        **more: Any,
    ) -> DAG:
        """Return an empty DAG with the options applied; ``name`` is its id without the prefix.

        What model.yaml says (``airflow``) goes before what the DAG file says.
        """
        defaults = {**RETRIES, "map_index_template": SHOWN_RESULT}
        if pool := _for_model(self.pool, model):
            defaults["pool"] = pool
        if airflow is not None:
            defaults |= task_options(airflow)
        if owner := _for_model(self.owner, model):
            defaults["owner"] = owner
        return kind(  # the schedule is in ``more``
            self.prefix + name,
            start_date=START,
            catchup=False,
            default_args=defaults,
            tags=[*self.tags, *([model] if model else []), *tags],
            auto_register=False,  # see homeostat_dags
            is_paused_upon_creation=False,  # a paused DAG loses asset events
            **more,
        )


def _for_model(given: T | Mapping[str, T] | None, model: str) -> T | None:
    """Return what was given for all models, or for this one."""
    return given.get(model) if isinstance(given, Mapping) else given
