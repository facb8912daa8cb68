"""One GET over HTTP that gives up within seconds, with the time that the answer says it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx

from homeostat.config.errors import ConfigError, Unavailable
from homeostat.config.redaction import redact_userinfo
from homeostat.doctor import check
from homeostat.doctor.clock_skew import ahead_by_header


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and how far that machine's clock is ahead."""

    status: int
    text: str
    response: httpx.Response
    offset: timedelta | None


def get(url: str, what: str, variable: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Ask; ``what`` and ``variable`` name the service, and the setting that says where it is.

    Raises
    ------
    Unavailable
        Nothing answers.
    ConfigError
        The address cannot be read.
    """
    shown = redact_userinfo(url)
    patience = httpx.Timeout(check.ANSWER_SECONDS, connect=check.CONNECT_SECONDS)
    asked = datetime.now(UTC)
    try:
        response = httpx.get(url, timeout=patience, headers=dict(headers or {}), trust_env=False)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        msg = f"{variable}: {shown} is no address of a server ({error}); write http://host:port"
        raise ConfigError(msg) from error
    except httpx.TimeoutException as error:
        msg = f"{what} says nothing: connected to, or not even that, and no answer came"
        raise Unavailable(msg) from error
    except httpx.HTTPError as error:
        said = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
        msg = f"{what} does not answer: {said}"
        raise Unavailable(msg) from error
    offset = ahead_by_header(response.headers, asked, datetime.now(UTC))
    return Answer(response.status_code, response.text, response, offset)
