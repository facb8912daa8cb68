"""The URL of an Airflow connection."""

from __future__ import annotations

import json
import os
from urllib.parse import quote

from homeostat.config.errors import ConfigError


def connection_url(name: str) -> str:
    """Return the URL of a connection: of ``AIRFLOW_CONN_NAME``, or else the one that Airflow knows.

    Raises
    ------
    ConfigError
        There is no such connection. Its values are in no message.
    """
    variable = f"AIRFLOW_CONN_{name.upper()}"
    value = os.environ.get(variable)
    if value is None:
        return _from_airflow(name, variable)
    if not value.lstrip().startswith("{"):
        return value
    try:
        return _from_json(json.loads(value))
    except (ValueError, KeyError, TypeError, AttributeError):
        msg = (
            f"{variable} is no connection: write a URL, or JSON with conn_type, host, login, password, schema"
        )
        raise ConfigError(msg) from None


def _from_json(raw: dict[str, object]) -> str:
    def part(name: str) -> str:
        return quote(str(raw.get(name) or ""), safe="")

    user = f"{part('login')}{':' if raw.get('password') else ''}{part('password')}"
    port = f":{raw['port']}" if raw.get("port") else ""
    host = f"{user}{'@' if user else ''}{raw.get('host') or ''}{port}"
    return f"{raw['conn_type']}://{host}/{part('schema')}"


def _from_airflow(name: str, variable: str) -> str:
    unknown = f"there is no Airflow connection {name!r}: add it in Airflow, or export {variable}=..."
    try:
        from airflow.sdk import BaseHook
        from airflow.sdk.exceptions import AirflowRuntimeError
    except ImportError:
        raise ConfigError(unknown) from None
    try:
        return str(BaseHook.get_connection(name).get_uri())
    except (AirflowRuntimeError, LookupError) as error:
        raise ConfigError(unknown) from error
    except Exception as error:
        if type(error).__name__ == "AirflowNotFoundException":
            raise ConfigError(unknown) from None
        raise
