"""Errors of engines as those of Homeostat, without secrets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from homeostat.adapters.engines.location import EngineLocation
from homeostat.config.errors import DataError, HomeostatError, Unavailable
from homeostat.config.redaction import redact_secrets, secret_redactor

#: Modules whose exceptions come from an engine or from the way to it.
_ENGINES = (
    "ibis",
    "duckdb",
    "_duckdb",
    "psycopg",
    "pyspark",
    "py4j",
    "sqlglot",
    "pyarrow",
    "google",
    "snowflake",
)
#: Names of exceptions that a later attempt may not see.
_AWAY = ("OperationalError", "ConnectionTimeout", "InterfaceError", "Py4JNetworkError", "ConnectionError")
_LONGEST = 500


@contextmanager
def engine_errors(location: EngineLocation) -> Iterator[None]:
    """Raise DataError for what an engine refuses, Unavailable where it does not answer."""
    try:
        yield
    except HomeostatError:
        raise
    except Exception as error:
        kinds = type(error).__mro__
        known = any(kind.__module__.partition(".")[0] in _ENGINES for kind in kinds)
        if not known and not isinstance(error, (OSError, ValueError, OverflowError)):
            raise
        detail = _detail(str(error)) or type(error).__name__
        if any(kind.__name__ in _AWAY for kind in kinds):
            msg = f"{location.shown} does not answer: {detail}"
            raise Unavailable(msg) from error
        msg = f"{location.shown} cannot be read: {detail}"
        raise DataError(msg) from error


def _detail(text: str) -> str:
    """Return the first line of an engine's message; Spark's are followed by a stack of Java."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return secret_redactor(os.environ)(redact_secrets(line))[:_LONGEST]
