"""The ``airflow`` block of model.yaml as arguments of Airflow's operators."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from homeostat.config.errors import ConfigError

if TYPE_CHECKING:
    from homeostat.config.airflow_options import AirflowOptions

_POD = "pod_override"


def task_options(options: AirflowOptions) -> dict[str, Any]:
    """Return the arguments that every operator of the model gets; {} where nothing is set.

    Raises
    ------
    ConfigError
        There is a ``pod_override``, and Airflow's provider for Kubernetes is not installed.
    """
    executor = dict(options.executor_config)
    if _POD in executor:
        executor[_POD] = _pod(executor[_POD])
    found = {"queue": options.queue, "pool": options.pool, "executor_config": executor}
    return {name: value for name, value in found.items() if value}


def _pod(described: Any) -> Any:
    """Return the pod that the Kubernetes executor wants, from the way it is written in YAML."""
    try:
        generator = importlib.import_module("airflow.providers.cncf.kubernetes.pod_generator")
    except ImportError as error:
        msg = (
            "airflow.executor_config has pod_override, and apache-airflow-providers-cncf-kubernetes is not "
            "installed: install it where DAGs are parsed and tasks run, or remove pod_override"
        )
        raise ConfigError(msg) from error
    return generator.PodGenerator.deserialize_model_dict(described)
