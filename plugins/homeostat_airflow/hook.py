"""The hook behind connections of the type Homeostat."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from homeostat_airflow.connection import CONN_TYPE, DEFAULT_CONN_ID, read_settings, variables_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeostat.config import Settings


class HomeostatHook(BaseHook):
    """Gives the settings that a connection stands for. Empty fields are read from the environment.

    Parameters
    ----------
    homeostat_conn_id
        The connection. Only the default one may be missing; then the environment alone counts.
    """

    conn_name_attr = "homeostat_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONN_TYPE
    hook_name = "Homeostat"

    def __init__(self, homeostat_conn_id: str = DEFAULT_CONN_ID) -> None:
        super().__init__()
        self.homeostat_conn_id = homeostat_conn_id

    def get_conn(self) -> Settings:
        """Return the settings; ConfigError when the connection does not exist."""
        return read_settings(self.homeostat_conn_id)

    def test_connection(self) -> tuple[bool, str]:
        """Ask the ledger, the store, MLflow and, where one is named, the gateway; each may fail alone."""
        settings = self.get_conn()
        with_gateway = "HOMEOSTAT_GATEWAY" in variables_of(self.get_connection(self.homeostat_conn_id))
        checks: dict[str, Callable[[Settings], None]] = {
            "ledger": _check_ledger,
            "store": _check_store,
            "MLflow": _check_mlflow,
        }
        if with_gateway:
            checks["gateway"] = _check_gateway
        problems = {name: problem for name, check in checks.items() if (problem := _problem(check, settings))}
        works = [f"{name}: works" for name in checks if name not in problems]
        return not problems, ". ".join([*(f"{name}: {text}" for name, text in problems.items()), *works])


def _problem(check: Callable[[Settings], None], settings: Settings) -> str:
    from homeostat.config.errors import HomeostatError
    from homeostat.config.extras import optional_libraries
    from homeostat.config.redaction import secret_redactor

    try:
        with optional_libraries():
            check(settings)
    except HomeostatError as error:
        return secret_redactor()(str(error))
    return ""


def _check_ledger(settings: Settings) -> None:
    from homeostat.adapters import open_ledger

    open_ledger(settings.ledger).read("connection_test")


def _check_store(settings: Settings) -> None:
    from homeostat.adapters import open_store
    from homeostat.config.errors import NotFound

    with suppress(NotFound):
        open_store(settings.store).get("connection_test")


def _check_mlflow(settings: Settings) -> None:
    from homeostat.adapters.mlflow_client import MlflowConnection

    MlflowConnection(settings.tracking_uri).find_experiment("connection_test")


def _check_gateway(settings: Settings) -> None:
    from homeostat.adapters.gateway_client import read_gateway
    from homeostat.config.errors import Unavailable

    problem = read_gateway(settings).problem
    if problem:
        raise Unavailable(problem)
