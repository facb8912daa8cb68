"""A gateway's client: :class:`Client`, and :class:`AsyncClient` with the same methods to await."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote

from homeostat.config.errors import ConfigError, DataError, NotFound, Refused, Unavailable
from homeostat.config.extras import optional_libraries
from homeostat.config.redaction import redact_userinfo

if TYPE_CHECKING:
    import httpx

    from homeostat.api.tables import Data

T = TypeVar("T")
_DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Predictions:
    """The predictions of one request.

    Attributes
    ----------
    predictions
        One prediction for each row, in their order.
    ids
        One id for each row: labels join by it.
    version
        The version that predicted; several, with commas, when rows fell into both cohorts of a canary.
    """

    predictions: list[Any]
    ids: list[str]
    version: str


@dataclass(frozen=True, slots=True)
class _Call:
    """One request, and how its response is read; ``changes`` says that it must not be repeated blindly."""

    method: str
    path: str
    body: dict[str, Any] | None
    read: Callable[[httpx.Response], Any]
    headers: Mapping[str, str]
    changes: bool = False


class _Calls:
    """Builds the requests of both clients."""

    def __init__(self, url: str, token: str) -> None:
        self.url = (url or os.environ.get("HOMEOSTAT_GATEWAY") or _DEFAULT_URL).rstrip("/")
        self._token = token or os.environ.get("HOMEOSTAT_CONTROL_TOKEN", "")

    def options(self, timeout: float) -> dict[str, Any]:
        """Return the arguments of httpx's clients."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return {"base_url": self.url, "headers": headers, "timeout": timeout}

    def predict(self, model: str, rows: Data, request_id: str) -> _Call:
        records = _records(rows)

        def read(response: httpx.Response) -> Predictions:
            name = response.headers.get("X-Request-Id", request_id)
            ids = [name] if len(records) == 1 else [f"{name}-{number}" for number in range(len(records))]
            version = response.headers.get("X-Homeostat-Version", "")
            return Predictions(response.json()["predictions"], ids, version)

        headers = {"X-Request-Id": request_id} if request_id else {}
        path = f"/models/{quote(model, safe='')}/invocations"
        return _Call("POST", path, {"dataframe_records": records}, read, headers)

    def label(self, model: str, labels: Mapping[str, Any], at: datetime | None) -> _Call:
        when = {"at": at.isoformat()} if at is not None else {}
        body = {"labels": [{"id": name, "label": _plain(value), **when} for name, value in labels.items()]}
        return _Call("POST", f"/models/{quote(model, safe='')}/labels", body, _json, {})

    def status(self, model: str | None) -> _Call:
        if model is not None:
            return _Call("GET", f"/models/{quote(model, safe='')}", None, _json, {})
        return _Call("GET", "/models", None, lambda response: response.json()["models"], {})

    def promote(self, model: str, version: str | None, reason: str) -> _Call:
        if version is None:
            return self._control(model, "approve", None)
        return self._control(model, "promote", {"version": str(version), "reason": reason})

    def rollback(self, model: str, version: str, reason: str) -> _Call:
        body = {"reason": reason, **({"version": str(version)} if version else {})}
        return self._control(model, "rollback", body)

    def _control(self, model: str, verb: str, body: dict[str, Any] | None) -> _Call:
        path = f"/control/models/{quote(model, safe='')}/{verb}"
        return _Call("POST", path, body, _json, {}, changes=True)

    def result(self, call: _Call, response: httpx.Response) -> Any:
        """Return what the response holds, or raise the error that it stands for."""
        if response.is_success:
            try:
                return call.read(response)
            except (ValueError, KeyError, TypeError) as error:
                msg = f"the server at {redact_userinfo(self.url)} is not a gateway of Homeostat"
                raise ConfigError(msg) from error
        raise _error(response, redact_userinfo(self.url))

    def unavailable(self, call: _Call, error: Exception) -> Unavailable:
        """Return the error for a gateway that did not respond."""
        unsure = " The order may have been carried out: read the status first." if call.changes else ""
        return Unavailable(f"no response of the gateway at {redact_userinfo(self.url)}: {error}.{unsure}")


class Client:
    """A gateway's client.

    Safe to share between threads; use it in a ``with`` block, or call :meth:`close`.

    Parameters
    ----------
    url
        The gateway's address. Default: HOMEOSTAT_GATEWAY, or ``http://127.0.0.1:8000``.
    token
        A token with the scopes that are needed. Default: HOMEOSTAT_CONTROL_TOKEN.
    timeout
        Seconds to wait for a response.

    Notes
    -----
    Every method raises DataError for rows or labels that the gateway rejects, NotFound for a model that it
    does not serve, Refused for an order that it does not carry out or a token that it does not accept, and
    Unavailable, after which a retry may help, when it does not respond or has no room.
    """

    def __init__(self, url: str = "", *, token: str = "", timeout: float = 10.0) -> None:
        with optional_libraries():
            import httpx
        self._calls = _Calls(url, token)
        self._http = httpx.Client(**self._calls.options(timeout))

    def predict(self, model: str, rows: Data, *, request_id: str = "") -> Predictions:
        """Return the predictions for rows: a list of dictionaries, a DataFrame or an Arrow table.

        ``request_id`` must be unique; the gateway makes one by default. It is the id of a single row; the ids
        of several rows are ``<request_id>-0``, ``-1``, and so on.
        """
        found: Predictions = self._send(self._calls.predict(model, rows, request_id))
        return found

    def label(self, model: str, labels: Mapping[str, Any], *, at: datetime | None = None) -> dict[str, int]:
        """Send labels by prediction id, known since ``at`` (default: now); return what became of them."""
        found: dict[str, int] = self._send(self._calls.label(model, labels, at))
        return found

    def status(self, model: str | None = None) -> Any:
        """Return what is served of one model, with its rollout and events; of all models as a list."""
        return self._send(self._calls.status(model))

    def promote(
        self, model: str, version: str | None = None, *, reason: str = "manual promotion"
    ) -> dict[str, Any]:
        """Promote a version that passed its gate; without one, approve the candidate that waits."""
        found: dict[str, Any] = self._send(self._calls.promote(model, version, reason))
        return found

    def rollback(self, model: str, version: str = "", *, reason: str = "manual") -> dict[str, Any]:
        """Roll back the candidate, or else the champion; with ``version`` only if it is that one."""
        found: dict[str, Any] = self._send(self._calls.rollback(model, version, reason))
        return found

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, call: _Call) -> Any:
        import httpx

        try:
            response = self._http.request(call.method, call.path, json=call.body, headers=call.headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._calls.unavailable(call, error) from error
        return self._calls.result(call, response)


class AsyncClient:
    """The client for asynchronous code: every method of :class:`Client`, to be awaited.

    Use it in an ``async with`` block, or await :meth:`close`. Parameters and errors are those of
    :class:`Client`.
    """

    def __init__(self, url: str = "", *, token: str = "", timeout: float = 10.0) -> None:
        with optional_libraries():
            import httpx
        self._calls = _Calls(url, token)
        self._http = httpx.AsyncClient(**self._calls.options(timeout))

    async def predict(self, model: str, rows: Data, *, request_id: str = "") -> Predictions:
        """See :meth:`Client.predict`."""
        found: Predictions = await self._send(self._calls.predict(model, rows, request_id))
        return found

    async def label(
        self, model: str, labels: Mapping[str, Any], *, at: datetime | None = None
    ) -> dict[str, int]:
        """See :meth:`Client.label`."""
        found: dict[str, int] = await self._send(self._calls.label(model, labels, at))
        return found

    async def status(self, model: str | None = None) -> Any:
        """See :meth:`Client.status`."""
        return await self._send(self._calls.status(model))

    async def promote(
        self, model: str, version: str | None = None, *, reason: str = "manual promotion"
    ) -> dict[str, Any]:
        """See :meth:`Client.promote`."""
        found: dict[str, Any] = await self._send(self._calls.promote(model, version, reason))
        return found

    async def rollback(self, model: str, version: str = "", *, reason: str = "manual") -> dict[str, Any]:
        """See :meth:`Client.rollback`."""
        found: dict[str, Any] = await self._send(self._calls.rollback(model, version, reason))
        return found

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, call: _Call) -> Any:
        import httpx

        try:
            response = await self._http.request(call.method, call.path, json=call.body, headers=call.headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._calls.unavailable(call, error) from error
        return self._calls.result(call, response)


def _json(response: httpx.Response) -> Any:
    return response.json()


def _error(response: httpx.Response, address: str) -> Exception:
    """Return the error of an unsuccessful response, with the gateway's own message."""
    try:
        found = response.json()
        message = str(found.get("message") or found)
    except (json.JSONDecodeError, AttributeError):
        message = response.text[:200]
    text = f"the gateway at {address} ({response.status_code}): {message}"
    status = response.status_code
    if status in (401, 403):
        return Refused(f"{text} Give a token with the scope that is needed")
    if status == 404:
        return NotFound(text)
    if status == 409:
        return Refused(text)
    if status == 429 or status >= 500:
        return Unavailable(text)
    return DataError(text)


def _records(rows: Data) -> list[dict[str, Any]]:
    """Return rows as dictionaries of plain JSON values."""
    if isinstance(rows, Mapping):
        rows = [rows]
    if isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        records = [dict(row) for row in rows]
    else:
        from homeostat.api.tables import as_arrow

        records = as_arrow(rows, "rows").to_pylist()
    return [{str(name): _plain(value) for name, value in record.items()} for record in records]


def _plain(value: Any) -> Any:
    """Return a value that JSON has: a NaN is missing, a time is text, a numpy scalar is Python's."""
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        if math.isinf(value):
            msg = "a value is infinite, which JSON does not have: send a number, or None for a missing value"
            raise DataError(msg)
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value
