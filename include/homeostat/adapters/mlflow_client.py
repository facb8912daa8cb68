"""MLflow client with short time-outs, without its console output, and with Homeostat's errors.

Importing any part of mlflow loads some 1,800 modules, because every submodule runs ``mlflow/__init__.py``
first. So it is imported at the first call, never with this module.
"""

from __future__ import annotations

import os
import re
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from homeostat.config.errors import ConfigError, HomeostatError, NotFound, Refused, Unavailable
from homeostat.config.redaction import redact_userinfo

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking.client import MlflowClient

# MLflow reads these from the environment only. Values set by the operator win.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # MLflow's default, 120 s with 7 retries, hangs a task
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "60",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_GONE = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "ENDPOINT_NOT_FOUND"}
_DENIED = {"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"}
_REFUSED = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "RESOURCE_ALREADY_EXISTS"}
# A missing alias and a deleted experiment both come as INVALID_PARAMETER_VALUE.
_MISSING = re.compile(r"alias \S+ not found|must be in the 'active' state", re.IGNORECASE)
# The root cause inside the long messages of requests and urllib3.
_CAUSE = re.compile(r"(?:\[Errno -?\d+\] |\b(?=Read timed out|too many \d+ error responses))([^\"'()\[]+)")
_USER = re.compile(r"://[^/?#]*@")
_NOT_IN_NAMES = re.compile(r"[^\w./ :-]")  # not allowed in names of metrics and parameters

EXPERIMENT_KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI shows runs, not traces
NOTE = "mlflow.note.content"
TRAINING_VIEW = "workflowType=machine_learning"  # the UI opens every page as "GenAI" otherwise


class MlflowConnection:
    """An MLflow client, created at the first call, with a cache of experiment ids.

    Links have the address ``public_url``, which people's browsers reach; default: that of the client, without
    its user and password.
    """

    def __init__(self, uri: str, public_url: str = "") -> None:
        self.uri = uri
        self.public_url = public_url or _USER.sub("://", uri)
        self._client: MlflowClient | None = None
        self._experiments: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client; call it inside :meth:`operation`."""
        with self._lock:
            if self._client is None:
                for name, value in _DEFAULTS.items():
                    os.environ.setdefault(name, value)
                from mlflow.exceptions import MlflowException
                from mlflow.tracking.client import MlflowClient

                try:
                    if "://" not in self.uri:  # MLflow would make a folder of that name and keep runs there
                        raise MlflowException("no scheme")
                    self._client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
                except MlflowException as error:
                    shown = redact_userinfo(self.uri).rpartition("@")[2]
                    msg = f"MLFLOW_TRACKING_URI is {shown!r}: write MLflow's address, such as http://127.0.0.1:5000"
                    raise ConfigError(msg) from error
        return self._client

    @contextmanager
    def operation(self, what: str) -> Iterator[MlflowClient]:
        """Yield the client for one operation; translate every failure into one of Homeostat's errors.

        Raises
        ------
        NotFound, Refused, ConfigError
            MLflow rejected the request.
        Unavailable
            MLflow did not respond, or the response is not MLflow's.
        """
        client = self.client
        import requests
        import urllib3
        from mlflow.exceptions import MlflowException

        try:
            yield client
        except MlflowException as error:
            raise self._to_homeostat_error(what, str(error.error_code), str(error)) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError) as error:
            raise self._to_homeostat_error(what, "", str(error)) from error

    def ensure_experiment(self, name: str, note: str, tags: Mapping[str, str]) -> str:
        """Return the id of an experiment; create it, or restore it if it was deleted."""
        if name not in self._experiments:
            with self.operation(f"open experiment {name}") as client:
                self._experiments[name] = self._open_experiment(client, name, note, tags)
        return self._experiments[name]

    def forget_experiment(self, name: str) -> None:
        """Drop a cached experiment id, for example because the experiment was deleted."""
        self._experiments.pop(name, None)

    def find_experiment(self, name: str) -> str | None:
        """Return the id of an active experiment, or None."""
        with self.operation(f"look up experiment {name}") as client:
            found = client.get_experiment_by_name(name)
        return found.experiment_id if found and found.lifecycle_stage == "active" else None

    def experiment_of(self, run_id: str) -> str | None:
        """Return the id of a run's experiment; None when not connected yet or when the look-up fails."""
        if self._client is None:
            return None
        try:
            with self.operation(f"look up run {run_id}") as client:
                return str(client.get_run(run_id).info.experiment_id)
        except HomeostatError:
            return None

    @staticmethod
    def _open_experiment(client: MlflowClient, name: str, note: str, tags: Mapping[str, str]) -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(client.create_experiment(name, tags={**EXPERIMENT_KIND, **tags, NOTE: note}))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":  # created by another process
                    raise
                found = client.get_experiment_by_name(name)
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _to_homeostat_error(self, what: str, code: str, message: str) -> Exception:
        detail = redact_userinfo(message.strip().partition("\n")[0])[:300]
        where = redact_userinfo(self.uri)  # which may hold a user and a password
        if code in _GONE or _MISSING.search(message):
            return NotFound(f"cannot {what}: {detail}")
        if code in _DENIED:
            return ConfigError(
                f"cannot {what}: MLflow at {where} denies it ({detail}); check its credentials"
            )
        if code in _REFUSED:
            return Refused(f"cannot {what}: MLflow refused: {detail}")
        cause = _CAUSE.search(message)
        return Unavailable(
            f"cannot {what}: MLflow at {where} does not answer ({cause[1] if cause else detail}); "
            "is it running? Check MLFLOW_TRACKING_URI"
        )


def safe_name(name: str) -> str:
    """Return a name that MLflow accepts for a metric or a parameter; other characters become underscores."""
    return _NOT_IN_NAMES.sub("_", name)


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """Return for each a name that MLflow accepts: :func:`safe_name`, with a checksum where two are the same.

    ``a+b`` and ``a*b`` are two series, not one with the points of both.
    """
    by_safe: dict[str, list[str]] = {}
    for name in names:
        by_safe.setdefault(safe_name(name), []).append(name)
    return {
        name: safe if len(group) == 1 else f"{safe}_{zlib.crc32(name.encode()) & 0xFFFF:04x}"
        for safe, group in by_safe.items()
        for name in group
    }


def quoted(value: str) -> str:
    """Quote a value for MLflow's search language, which has no escapes.

    Raises
    ------
    Refused
        The value holds both kinds of quotation marks.
    """
    if "'" not in value:
        return f"'{value}'"
    if '"' in value:
        msg = (
            f"{value!r} holds both ' and \": MLflow cannot search for it; use only one kind of quotation mark"
        )
        raise Refused(msg)
    return f'"{value}"'


def log_metrics(
    client: MlflowClient,
    run_id: str,
    values: Mapping[str, float],
    *,
    at: int | None = None,
    step: int = 0,
) -> None:
    """Log finite values in batches of MLflow's maximum size; MLflow shows the newest value of a name.

    ``at`` is the time of the values in milliseconds since 1970, by default now.
    """
    import math
    import time

    from mlflow.entities import Metric

    at = time.time_ns() // 1_000_000 if at is None else at  # no decision reads it
    safe = safe_names(values)
    metrics: list[Metric] = [
        Metric(safe[name], float(value), at, step) for name, value in values.items() if math.isfinite(value)
    ]
    for i in range(0, len(metrics), 1000):
        client.log_batch(run_id, metrics=metrics[i : i + 1000])


def log_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags in batches of MLflow's maximum size."""
    from mlflow.entities import RunTag

    rows = [RunTag(name, str(value)) for name, value in tags.items()]
    for i in range(0, len(rows), 100):
        client.log_batch(run_id, tags=rows[i : i + 100])


def log_artifacts(client: MlflowClient, run_id: str, artifacts: Mapping[str, bytes]) -> None:
    """Log bytes as artifacts; the keys are artifact paths."""
    import tempfile
    from pathlib import Path

    from homeostat.adapters.store_keys import check_key

    if not artifacts:
        return
    with tempfile.TemporaryDirectory() as scratch:
        for name, data in artifacts.items():
            path = Path(scratch) / check_key(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        client.log_artifacts(run_id, scratch)


def search_pages(search: Any, **query: Any) -> Iterator[Any]:
    """Yield every item of a paged search."""
    token = None
    while True:
        found = search(**query, page_token=token)
        yield from found
        token = getattr(found, "token", None)
        if not token:
            return
