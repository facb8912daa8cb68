"""One kept-alive HTTP connection; requests are never retried."""

from __future__ import annotations

import http.client
import time
from contextlib import suppress
from urllib.parse import urlsplit

import orjson

from homeostat.config.errors import ConfigError

IDLE_SECONDS = 2.0  # servers close idle connections, often after 5 s: an older one is reopened


class Connection:
    """One kept-alive connection to ``http://host:port/prefix`` or ``https://``, with a bearer token if given.

    Raises
    ------
    ConfigError
        The URL is invalid.
    """

    def __init__(self, url: str, timeout: float, token: str = "") -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            msg = f"{url!r} is not the URL of a gateway; expected for example http://127.0.0.1:8000"
            raise ConfigError(msg)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._http = kind(parts.hostname, port, timeout=timeout)
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._used = 0.0

    def post(
        self, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """POST and read the whole response; OSError or HTTPException when there is none."""
        if time.monotonic() - self._used > IDLE_SECONDS:
            self._http.close()
        try:
            self._http.request("POST", self._prefix + path, body, {**self._headers, **headers})
            response = self._http.getresponse()
            content = response.read()
        except BaseException:
            self._http.close()
            raise
        self._used = time.monotonic()
        return response.status, response.headers, content

    def close(self) -> None:
        """Close the connection; the next post reopens it."""
        self._http.close()


def error_message(content: bytes) -> str:
    """Return the message in an error response, or the beginning of its body."""
    with suppress(ValueError, AttributeError):
        body = orjson.loads(content)
        return str(body.get("message") or body.get("detail") or body)[:200]
    return content[:200].decode("utf-8", "replace")
