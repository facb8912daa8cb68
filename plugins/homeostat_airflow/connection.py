"""The settings of an Airflow installation: the environment, and the connection ``homeostat`` over it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeostat.config import Settings

CONN_TYPE = "homeostat"
#: The connection that operators use unless they name another. Without it the environment alone counts.
DEFAULT_CONN_ID = "homeostat_default"
#: Variables that the fields of the connection's extra replace.
VARIABLES = {
    "ledger": "HOMEOSTAT_LEDGER",
    "store": "HOMEOSTAT_STORE",
    "mlflow": "MLFLOW_TRACKING_URI",
    "mlflow_username": "MLFLOW_TRACKING_USERNAME",
    "mlflow_password": "MLFLOW_TRACKING_PASSWORD",
    "triggers": "HOMEOSTAT_TRIGGERS",
}
#: Read by MLflow's client from the environment only.
_CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


def variables_of(connection: Any) -> dict[str, str]:
    """Return the environment variables that an Airflow connection stands for; empty fields are left out."""
    extra = connection.extra_dejson
    found = {name: str(extra.get(field) or "") for field, name in VARIABLES.items()}
    found["HOMEOSTAT_GATEWAY"] = _address(connection)
    found["HOMEOSTAT_CONTROL_TOKEN"] = connection.password or ""
    return {name: value for name, value in found.items() if value}


def _address(connection: Any) -> str:
    host = connection.host or ""
    if not host:
        return ""
    if "://" not in host:
        host = f"{connection.schema or 'http'}://{host}"
    return f"{host}:{connection.port}" if connection.port else host


def read_settings(conn_id: str = DEFAULT_CONN_ID, models: str = "", model: str = "") -> Settings:
    """Return the settings of this process: the environment, and the connection over it.

    Parameters
    ----------
    conn_id
        The connection's id. Only the default one may be missing.
    models
        The folder of model folders, or an S3 prefix, which is copied; "" for HOMEOSTAT_MODELS.
    model
        The only model that is needed of an S3 prefix; "" for all.

    Raises
    ------
    ConfigError
        There is no such connection, or the folder of models cannot be read.
    """
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        return _settings(_missing(conn_id, error), models, model)
    return _settings(variables_of(connection), models, model)


async def read_settings_async(conn_id: str = DEFAULT_CONN_ID, models: str = "") -> Settings:
    """Return what :func:`read_settings` does, for the triggerer's event loop."""
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        connection = await BaseHook.aget_connection(conn_id)
    except AirflowNotFoundException as error:
        return _settings(_missing(conn_id, error), models)
    return _settings(variables_of(connection), models)


def _missing(conn_id: str, error: Exception) -> dict[str, str]:
    if conn_id == DEFAULT_CONN_ID:
        return {}
    from homeostat.config.errors import ConfigError

    msg = (
        f"Airflow has no connection {conn_id!r}: create one of the type Homeostat under Admin, Connections, "
        f"or leave homeostat_conn_id out, which takes {DEFAULT_CONN_ID!r} or the environment variables"
    )
    raise ConfigError(msg) from error


def _settings(variables: Mapping[str, str], models: str, model: str = "") -> Settings:
    from homeostat.config import Settings

    return Settings.from_env(environment(variables, models, model))


def environment(variables: Mapping[str, str], models: str, model: str = "") -> dict[str, str]:
    """Return this process's environment with other variables over it, and with a local folder of models.

    Of an installed package, HOMEOSTAT_HOME is ``$AIRFLOW_HOME/homeostat`` unless it is set.
    """
    from homeostat.adapters.models_folder import local_models
    from homeostat.config import Settings
    from homeostat.config.settings import CHECKOUT

    env = {**os.environ, **variables}
    for name in _CREDENTIALS:
        if name in variables:
            os.environ[name] = variables[name]  # a task has its own process
    if CHECKOUT is None and not env.get("HOMEOSTAT_HOME"):
        from airflow.configuration import AIRFLOW_HOME

        env["HOMEOSTAT_HOME"] = str(Path(AIRFLOW_HOME) / "homeostat")
    if not models and "://" in env.get("HOMEOSTAT_MODELS", ""):
        models = env["HOMEOSTAT_MODELS"]
    if models:
        settings = Settings.from_env(env)
        copies = settings.state / "models"
        local = local_models(models, copies, model=model, refresh=settings.models_refresh)
        env["HOMEOSTAT_MODELS"] = str(local)
    return env
