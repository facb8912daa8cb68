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
    """MLflow as it answered."""

    version: str
    offset: timedelta | None
    connection: MlflowConnection


def connect(uri: str, env: Mapping[str, str]) -> MlflowServer:
    """Ask MLflow for its version.

    Raises
    ------
    Unavailable, ConfigError
        It does not answer, does not want us, or is no MLflow.
    """
    from homeostat.adapters.mlflow_client import MlflowConnection

    answer = get(f"{uri}/version", "MLflow", "MLFLOW_TRACKING_URI", _credentials(uri, env))
    if answer.status in (401, 403):
        msg = f"MLflow refuses ({answer.status}): {answer.text.strip()[:120] or 'without a word'}"
        raise ConfigError(msg)
    if answer.status != 200 or not re.fullmatch(r"\d+\.\d+\S*", answer.text.strip()):
        msg = f"what answers there is no MLflow: /version gave {answer.status} {answer.text.strip()[:60]!r}"
        raise Unavailable(msg)
    return MlflowServer(answer.text.strip(), answer.offset, MlflowConnection(uri))


def _credentials(uri: str, env: Mapping[str, str]) -> dict[str, str]:
    """As MLflow's own client sends them."""
    parts = urlsplit(uri)
    if token := env.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user = unquote(parts.username or "") or env.get("MLFLOW_TRACKING_USERNAME", "")
    password = unquote(parts.password or "") or env.get("MLFLOW_TRACKING_PASSWORD", "")
    if not user:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
