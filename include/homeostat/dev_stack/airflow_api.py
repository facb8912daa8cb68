"""A small client of Airflow's REST API, for the demo, the command line and the tests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

from homeostat.config.errors import NotFound, Refused, Unavailable

#: Attempts while Airflow answers with a server error.
TRIES = 5
T = TypeVar("T")
FINISHED = frozenset({"success", "failed"})


class AirflowApi:
    """Airflow at ``url``, as ``user``; logs in automatically, and again when the token has expired.

    Methods return Airflow's JSON objects. They raise NotFound for a missing object, Refused with Airflow's
    message for a rejected request, Unavailable when Airflow does not respond.
    """

    def __init__(self, url: str, user: str, password: str, *, timeout: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self.user = user
        self.password = password
        self._client = httpx.Client(base_url=self.url, timeout=timeout, trust_env=False)
        self._token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def health(self) -> dict[str, str]:
        """Return each component's status: "healthy", "unhealthy" or "None"."""
        response = self._send_once("GET", "/api/v2/monitor/health").json()
        return {name: str(part.get("status")) for name, part in response.items() if part}

    def dag(self, dag_id: str) -> dict[str, Any]:
        """Return one DAG."""
        return self.request("GET", f"/dags/{_q(dag_id)}")

    def dags(self) -> list[dict[str, Any]]:
        """Return every DAG."""
        return list(self.request("GET", "/dags", params={"limit": 100})["dags"])

    def import_errors(self) -> list[dict[str, Any]]:
        """Return the DAG files that fail to import, with their tracebacks."""
        return list(self.request("GET", "/importErrors")["import_errors"])

    def wait_for_dag(self, dag_id: str, timeout: float = 60.0) -> dict[str, Any]:
        """Wait until the DAG processor has parsed this DAG; else NotFound with the import errors."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self.dag(dag_id)
            except NotFound:
                if time.monotonic() > deadline:
                    errors = "\n".join(str(e.get("stack_trace", "")).strip() for e in self.import_errors())
                    msg = (
                        f"Airflow has no DAG '{dag_id}' after {timeout:.0f} s. {errors or 'No import error.'}"
                    )
                    raise NotFound(msg) from None
            time.sleep(0.25)

    def unpause(self, dag_id: str) -> None:
        """Unpause a DAG."""
        self.request("PATCH", f"/dags/{_q(dag_id)}", json={"is_paused": False})

    def pause(self, dag_id: str) -> None:
        """Pause a DAG: no new runs."""
        self.request("PATCH", f"/dags/{_q(dag_id)}", json={"is_paused": True})

    def trigger(
        self,
        dag_id: str,
        conf: Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
        logical_date: datetime | None = None,
        note: str | None = None,
    ) -> str:
        """Trigger a run and return its run id; raises Refused when the run id exists."""
        body: dict[str, Any] = {
            "conf": dict(conf or {}),
            "logical_date": None if logical_date is None else logical_date.astimezone(UTC).isoformat(),
        }
        if note is not None:
            body["note"] = note
        # With a run id given here, a retry cannot start a second run.
        body["dag_run_id"] = name = run_id or f"manual__{datetime.now(UTC).isoformat()}"
        attempts = 0

        def post() -> str:
            nonlocal attempts
            attempts += 1
            try:
                return str(self.request("POST", f"/dags/{_q(dag_id)}/dagRuns", json=body)["dag_run_id"])
            except Refused:
                if attempts == 1:
                    raise
                return str(self.run(dag_id, name)["dag_run_id"])  # the previous attempt succeeded

        return _with_retries(post)

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return one run: state, conf, times."""
        return self.request("GET", f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}")

    def runs(self, dag_id: str, *, limit: int = 100, order_by: str = "-run_after") -> list[dict[str, Any]]:
        """Return the newest runs of a DAG, newest first."""
        params: dict[str, str | int] = {"limit": limit, "order_by": order_by}
        return list(self.request("GET", f"/dags/{_q(dag_id)}/dagRuns", params=params)["dag_runs"])

    def wait_for_run(
        self, dag_id: str, run_id: str, timeout: float = 300.0, *, poll: float = 0.2
    ) -> dict[str, Any]:
        """Wait until a run has succeeded or failed, and return it; Unavailable after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            run = self.run(dag_id, run_id)
            if run["state"] in FINISHED:
                return run
            if time.monotonic() > deadline:
                msg = f"run {run_id} of {dag_id} is still '{run['state']}' after {timeout:.0f} s"
                raise Unavailable(msg)
            time.sleep(poll)

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run: task_id, state, try_number, times."""
        path = f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}/taskInstances"
        return list(self.request("GET", path, params={"limit": 100})["task_instances"])

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return a task's return value as JSON."""
        path = f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}/taskInstances/{_q(task_id)}/xcomEntries/{_q(key)}"
        return self.request("GET", path, params={"deserialize": "true"})["value"]

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """Return the log of one try of a task, one line per event."""
        path = f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}/taskInstances/{_q(task_id)}/logs/{try_number}"
        content = self.request("GET", path, params={"full_content": "true"}).get("content", [])
        return "\n".join(_log_line(line) for line in content)

    def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Make any other call below ``/api/v2``; return the JSON object of the response."""
        response = self._send(method, f"/api/v2{path}", **options)
        return dict(response.json()) if response.content else {}

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Make one call; idempotent ones (all but POST) are retried while Airflow's database is busy."""
        if method == "POST":
            return self._send_once(method, path, **options)
        return _with_retries(lambda: self._send_once(method, path, **options))

    def _send_once(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            if not self._token:
                self._log_in()
            response = self._client.request(method, path, headers=self._headers(), **options)
            if response.status_code == httpx.codes.UNAUTHORIZED:
                self._log_in()
                response = self._client.request(method, path, headers=self._headers(), **options)
        except httpx.TransportError as error:
            msg = f"Airflow at {self.url} does not respond ({error!r})"
            raise Unavailable(msg) from error
        if response.is_success:
            return response
        msg = f"Airflow, {method} {path}: {response.status_code} {_detail(response)}"
        if response.status_code == httpx.codes.NOT_FOUND:
            raise NotFound(msg)
        if response.is_server_error:
            raise Unavailable(msg)
        raise Refused(msg)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def _log_in(self) -> None:
        body = {"username": self.user, "password": self.password}
        response = self._client.post("/auth/token", json=body)
        if not response.is_success:
            msg = (
                f"Airflow at {self.url} rejects the login of '{self.user}': "
                f"{response.status_code} {_detail(response)}"
            )
            raise (Unavailable if response.is_server_error else Refused)(msg)
        self._token = str(response.json()["access_token"])


def _with_retries(call: Callable[[], T]) -> T:
    """Retry a few times: SQLite has one writer at a time, and Airflow returns 500 when it waits too long."""
    for attempt in range(1, TRIES):
        with contextlib.suppress(Unavailable):
            return call()
        time.sleep(0.3 * attempt)
    return call()


def _q(part: str) -> str:
    return quote(part, safe="")  # a run id contains a plus sign and colons


def _detail(response: httpx.Response) -> str:
    try:
        found = response.json()
    except ValueError:
        return response.text[:500]
    return str(found.get("detail", found) if isinstance(found, dict) else found)[:1000]


def _log_line(line: Any) -> str:
    if not isinstance(line, dict):
        return str(line)
    event = str(line.get("event", ""))
    error = line.get("error_detail")
    return f"{line.get('timestamp') or ''} {event} {error or ''}".strip()
