"""Where a table of an engine is: a URL with a table, a query or files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from homeostat.config.errors import ConfigError
from homeostat.config.redaction import redact_secrets

#: The engines of Ibis. Other schemes, such as s3, are addresses of files.
_ENGINES = frozenset(
    {"athena", "bigquery", "clickhouse", "databricks", "datafusion", "druid", "duckdb", "exasol", "impala"}
    | {"materialize", "mssql", "mysql", "oracle", "postgres", "risingwave", "singlestoredb", "snowflake"}
    | {"spark", "sqlite", "trino"}
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)(?:\+[A-Za-z0-9]+)?://(.*)", re.DOTALL)
#: Other names of an engine, as SQLAlchemy, Airflow and people write them.
_NAMES = {"postgresql": "postgres", "pyspark": "spark", "google-cloud-platform": "bigquery"}
#: DuckDB's own database files; every other path after ``duckdb://`` is one of tables.
_DATABASE = (".duckdb", ".ddb", ".db")
_EXAMPLES = "duckdb://rows/*.parquet, postgresql://host/database?table=rows, spark://local?table=rows"


@dataclass(frozen=True, slots=True)
class EngineLocation:
    """A table, a query or files of an engine.

    Attributes
    ----------
    engine
        The name of the engine in Ibis: ``duckdb``, ``postgres``, ``spark``, ``trino``, ...
    address
        What follows ``://``, without ``table``, ``query`` and ``files``.
    options
        Other parameters of the URL: those of the connection.
    table, query, files
        One of them is not empty. A table may be ``schema.table``.
    """

    engine: str
    address: str
    options: tuple[tuple[str, str], ...] = ()
    table: str = ""
    query: str = ""
    files: str = ""

    @property
    def url(self) -> str:
        """The URL of the connection."""
        options = f"?{urlencode(self.options)}" if self.options else ""
        return f"{self.engine}://{self.address}{options}"

    @property
    def shown(self) -> str:
        """The location for people, without secrets."""
        named = {"table": self.table, "query": self.query, "files": self.files}
        inside = next((f"{name}={text}" for name, text in named.items() if text), "")
        place = self.files if self.engine == "duckdb" and self.files else self.address
        shown = f"{self.engine}://{place}" + ("" if place == self.files else f"?{inside}")
        return redact_secrets(shown)


def is_engine_url(text: str) -> bool:
    """Return whether an address names an engine, and not a file, a folder or an object store."""
    found = _SCHEME.fullmatch(text)
    return found is not None and _engine(found[1]) in _ENGINES


def _engine(scheme: str) -> str:
    return _NAMES.get(scheme.lower(), scheme.lower())


def parse_location(url: str, *, table: str = "", query: str = "", base: Path | None = None) -> EngineLocation:
    """Read the URL of an engine.

    Parameters
    ----------
    table, query
        What to read, unless the URL says so in its parameters ``table``, ``query`` or ``files``.
    base
        The folder of relative paths.

    Raises
    ------
    ConfigError
        It is no such URL, or it does not say what to read; the message shows examples.
    """
    found = _SCHEME.fullmatch(url)
    if found is None or not is_engine_url(url):
        msg = f"{redact_secrets(url)} is not the address of an engine: write one such as {_EXAMPLES}"
        raise ConfigError(msg)
    engine = _engine(found[1])
    address, _, parameters = found[2].partition("?")
    options = dict(parse_qsl(parameters, keep_blank_values=True))
    table, query = options.pop("table", table), options.pop("query", query)
    files = options.pop("files", "")
    if engine == "duckdb" and address and not address.startswith(("md:", ":memory:")):
        if not address.endswith(_DATABASE):
            address, files = "", files or address
        elif base is not None:
            address = str(base / address)
    if files and base is not None and "://" not in files:
        files = str(base / files)
    location = EngineLocation(engine, address, tuple(sorted(options.items())), table, query, files)
    _require_one(location)
    return location


def _require_one(location: EngineLocation) -> None:
    asked = [name for name in ("table", "query", "files") if getattr(location, name)]
    if len(asked) == 1:
        return
    what = " and ".join(asked) if asked else "neither a table nor a query"
    msg = (
        f"{location.shown} names {what}: add one of ?table=NAME and ?query=SELECT..., for example {_EXAMPLES}"
    )
    raise ConfigError(msg)
