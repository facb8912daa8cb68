"""One GET with short time limits, which also measures the server's clock offset."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx

from homeostat.config.errors import ConfigError, Unavailable
from homeostat.config.redaction import redact_userinfo
from homeostat.doctor import check
from homeostat.doctor.clock_skew import offset_from_header


@dataclass(frozen=True, slots=True)
class ProbeResponse:
    """An HTTP response; ``offset`` is how far the server's clock is ahead of this machine's."""

    status: int
    text: str
    response: httpx.Response
    offset: timedelta | None


def get(url: str, service: str, variable: str, headers: Mapping[str, str] | None = None) -> ProbeResponse:
    """Send a GET. Errors name the ``service`` and the environment ``variable`` that holds its address.

    Raises
    ------
    Unavailable
        The service does not respond.
    ConfigError
        The URL is invalid.
    """
    shown = redact_userinfo(url)
    limits = httpx.Timeout(check.RESPONSE_SECONDS, connect=check.CONNECT_SECONDS)
    sent = datetime.now(UTC)
    try:
        response = httpx.get(url, timeout=limits, headers=dict(headers or {}), trust_env=False)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        msg = f"{variable}: {shown} is not a valid URL ({error}); write http://host:port"
        raise ConfigError(msg) from error
    except httpx.TimeoutException as error:
        msg = f"{service} does not respond at {shown}: timed out"
        raise Unavailable(msg) from error
    except httpx.HTTPError as error:
        reason = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
        msg = f"{service} does not respond at {shown}: {reason}"
        raise Unavailable(msg) from error
    offset = offset_from_header(response.headers, sent, datetime.now(UTC))
    return ProbeResponse(response.status_code, response.text, response, offset)
