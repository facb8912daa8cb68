"""The MLflow server and its version."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from homeostat.config.errors import ConfigError, Unavailable
from homeostat.doctor.http_probe import get

if TYPE_CHECKING:
    from homeostat.adapters.mlflow_client import MlflowConnection


@dataclass(frozen=True, slots=True)
class MlflowServer:
    """A responding MLflow server."""

    version: str
    offset: timedelta | None
    connection: MlflowConnection


def connect(uri: str, env: Mapping[str, str]) -> MlflowServer:
    """Read MLflow's version.

    Raises
    ------
    Unavailable, ConfigError
        It does not respond, refuses these credentials, or is not MLflow.
    """
    from homeostat.adapters.mlflow_client import MlflowConnection

    response = get(f"{uri}/version", "MLflow", "MLFLOW_TRACKING_URI", _credentials(uri, env))
    text = response.text.strip()
    if response.status in (401, 403):
        msg = f"MLflow refuses the request: HTTP {response.status} {text[:120]}".rstrip()
        raise ConfigError(msg)
    if response.status != 200 or not re.fullmatch(r"\d+\.\d+\S*", text):
        msg = (
            f"the server at MLFLOW_TRACKING_URI is not MLflow: /version returned HTTP {response.status} "
            f"{text[:60]!r}"
        )
        raise Unavailable(msg)
    return MlflowServer(text, response.offset, MlflowConnection(uri))


def _credentials(uri: str, env: Mapping[str, str]) -> dict[str, str]:
    """Return the Authorization header that MLflow's client sends."""
    parts = urlsplit(uri)
    if token := env.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user = unquote(parts.username or "") or env.get("MLFLOW_TRACKING_USERNAME", "")
    password = unquote(parts.password or "") or env.get("MLFLOW_TRACKING_PASSWORD", "")
    if not user:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
