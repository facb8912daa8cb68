"""A small client of Airflow's REST API: what the demo, the command line and the tests ask of it."""

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

#: How often a call is tried while Airflow answers that something of its own failed.
TRIES = 5
T = TypeVar("T")
FINISHED = frozenset({"success", "failed"})


class AirflowApi:
    """Airflow at ``url``, as ``user``; logs in by itself and again when the token has run out.

    Answers are Airflow's own JSON objects. Raises NotFound for what is not there, Refused with Airflow's
    words for what it will not do, Unavailable when it does not answer.
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
        """Give the connections back."""
        self._client.close()

    def health(self) -> dict[str, str]:
        """Status of metadatabase, scheduler, dag_processor, triggerer: "healthy", "unhealthy" or "None"."""
        answer = self._send_once("GET", "/api/v2/monitor/health").json()
        return {name: str(part.get("status")) for name, part in answer.items() if part}

    def dag(self, dag_id: str) -> dict[str, Any]:
        """One DAG as the scheduler knows it."""
        return self.request("GET", f"/dags/{_q(dag_id)}")

    def dags(self) -> list[dict[str, Any]]:
        """Every DAG that is there."""
        return list(self.request("GET", "/dags", params={"limit": 100})["dags"])

    def import_errors(self) -> list[dict[str, Any]]:
        """DAG files that do not import, with their tracebacks."""
        return list(self.request("GET", "/importErrors")["import_errors"])

    def wait_for_dag(self, dag_id: str, timeout: float = 60.0) -> dict[str, Any]:
        """Wait until the DAG processor has written this DAG; else NotFound with the import errors."""
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
        """Let a DAG run."""
        self.request("PATCH", f"/dags/{_q(dag_id)}", json={"is_paused": False})

    def pause(self, dag_id: str) -> None:
        """Hold a DAG: no new runs."""
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
        """Start a run by hand and return its run id; raises Refused when that run id is taken."""
        body: dict[str, Any] = {
            "conf": dict(conf or {}),
            "logical_date": None if logical_date is None else logical_date.astimezone(UTC).isoformat(),
        }
        if note is not None:
            body["note"] = note
        # With a name of its own a run can be asked for again without starting a second one.
        body["dag_run_id"] = name = run_id or f"manual__{datetime.now(UTC).isoformat()}"
        asked = 0

        def ask() -> str:
            nonlocal asked
            asked += 1
            try:
                return str(self.request("POST", f"/dags/{_q(dag_id)}/dagRuns", json=body)["dag_run_id"])
            except Refused:
                if asked == 1:
                    raise
                return str(self.run(dag_id, name)["dag_run_id"])  # the time before did get through

        return _patiently(ask)

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """One run: state, conf, times."""
        return self.request("GET", f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}")

    def runs(self, dag_id: str, *, limit: int = 100, order_by: str = "-run_after") -> list[dict[str, Any]]:
        """The newest runs of a DAG, newest first."""
        params: dict[str, str | int] = {"limit": limit, "order_by": order_by}
        return list(self.request("GET", f"/dags/{_q(dag_id)}/dagRuns", params=params)["dag_runs"])

    def wait_for_run(
        self, dag_id: str, run_id: str, timeout: float = 300.0, *, poll: float = 0.2
    ) -> dict[str, Any]:
        """Wait until a run has ended, well or not, and return it; Unavailable after ``timeout`` seconds."""
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
        """The task instances of a run: task_id, state, try_number, times."""
        path = f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}/taskInstances"
        return list(self.request("GET", path, params={"limit": 100})["task_instances"])

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """What a task returned, as JSON values."""
        path = f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}/taskInstances/{_q(task_id)}/xcomEntries/{_q(key)}"
        return self.request("GET", path, params={"deserialize": "true"})["value"]

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """The log of one try of a task, a line per event."""
        path = f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}/taskInstances/{_q(task_id)}/logs/{try_number}"
        content = self.request("GET", path, params={"full_content": "true"}).get("content", [])
        return "\n".join(_log_line(line) for line in content)

    def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Any call below ``/api/v2`` that the methods above do not cover; the JSON object of its answer."""
        answer = self._send(method, f"/api/v2{path}", **options)
        return dict(answer.json()) if answer.content else {}

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One call; what may be said twice (all but POST) is tried again while Airflow's database is busy."""
        if method == "POST":
            return self._send_once(method, path, **options)
        return _patiently(lambda: self._send_once(method, path, **options))

    def _send_once(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            if not self._token:
                self._log_in()
            answer = self._client.request(method, path, headers=self._headers(), **options)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                self._log_in()
                answer = self._client.request(method, path, headers=self._headers(), **options)
        except httpx.TransportError as error:
            msg = f"Airflow at {self.url} does not answer ({error!r})"
            raise Unavailable(msg) from error
        if answer.is_success:
            return answer
        msg = f"Airflow, {method} {path}: {answer.status_code} {_detail(answer)}"
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NotFound(msg)
        if answer.is_server_error:
            raise Unavailable(msg)
        raise Refused(msg)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def _log_in(self) -> None:
        body = {"username": self.user, "password": self.password}
        answer = self._client.post("/auth/token", json=body)
        if not answer.is_success:
            msg = (
                f"Airflow at {self.url} does not let '{self.user}' in: {answer.status_code} {_detail(answer)}"
            )
            raise (Unavailable if answer.is_server_error else Refused)(msg)
        self._token = str(answer.json()["access_token"])


def _patiently(call: Callable[[], T]) -> T:
    """Try a few times: SQLite has one writer at a time, and Airflow answers 500 when it waits too long."""
    for attempt in range(1, TRIES):
        with contextlib.suppress(Unavailable):
            return call()
        time.sleep(0.3 * attempt)
    return call()


def _q(part: str) -> str:
    return quote(part, safe="")  # a run id holds a plus sign and colons


def _detail(answer: httpx.Response) -> str:
    try:
        found = answer.json()
    except ValueError:
        return answer.text[:500]
    return str(found.get("detail", found) if isinstance(found, dict) else found)[:1000]


def _log_line(line: Any) -> str:
    if not isinstance(line, dict):
        return str(line)
    event = str(line.get("event", ""))
    error = line.get("error_detail")
    return f"{line.get('timestamp') or ''} {event} {error or ''}".strip()
