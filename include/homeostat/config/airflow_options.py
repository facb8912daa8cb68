"""The ``airflow`` block of model.yaml: where Airflow runs the tasks of one model."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field, field_validator

from homeostat.config.section import Section

Name = Annotated[str, Field(min_length=1, max_length=256)]


class AirflowOptions(Section):
    """Options of every task in the model's DAGs; what is left out is that of the DAG file, or Airflow's.

    ``queue`` chooses workers (Celery), ``pool`` bounds how many tasks run at once, and ``executor_config``
    is what the executor documents: for Kubernetes ``pod_override`` as a pod is written in YAML, for ECS the
    overrides of ``run_task``.
    """

    queue: Name | None = None
    pool: Name | None = None
    executor_config: dict[str, Any] = Field(default_factory=dict)

    @field_validator("executor_config")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            msg = f"only text, numbers, booleans, lists and mappings can be sent to an executor: {error}"
            raise ValueError(msg) from None
        return value
