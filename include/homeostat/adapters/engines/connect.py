"""Open a table of an engine."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import weakref
from pathlib import Path
from typing import Any

from homeostat.adapters.engines.errors import engine_errors
from homeostat.adapters.engines.location import EngineLocation
from homeostat.adapters.engines.table import EngineTable
from homeostat.config.errors import ConfigError, DataError
from homeostat.config.extras import optional_libraries, require_libraries

_CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".txt")
#: Seconds to wait for a server.
_CONNECT_SECONDS = 10


#: What an engine needs besides Ibis, so that an error names the extra of that engine.
_DRIVERS = {"duckdb": ["duckdb"], "postgres": ["psycopg"], "spark": ["pyspark"]}


def open_engine(location: EngineLocation) -> EngineTable:
    """Open a table; only its columns are read.

    Raises
    ------
    MissingExtra
        The libraries of the engine are not installed; the message says which command installs them.
    ConfigError
        Ibis knows no such engine.
    DataError
        There is no such table or file, or the engine rejects the query.
    Unavailable
        The engine does not answer.
    """
    with optional_libraries(), engine_errors(location):
        backend = _connect(location)
        try:
            return EngineTable(location, backend, _relation(backend, location))
        except BaseException:
            EngineTable(location, backend, None).close()
            raise


def _connect(location: EngineLocation) -> Any:
    require_libraries(*_DRIVERS.get(location.engine, ()))
    import ibis

    options = dict(location.options)
    if location.engine == "duckdb":
        return _connect_duckdb(ibis, location, options)
    if location.engine == "spark":
        return ibis.pyspark.connect(_spark_session(location.address, options))
    if location.engine == "postgres":
        options.setdefault("connect_timeout", str(_CONNECT_SECONDS))
    if not hasattr(ibis, location.engine):
        msg = f"{location.shown}: Ibis knows no engine {location.engine!r}"
        raise ConfigError(msg)
    backend = ibis.connect(f"{location.engine}://{location.address}", **options)
    if location.engine == "postgres":
        backend.con.execute("SET TIME ZONE 'UTC'")
    return backend


def _connect_duckdb(ibis: Any, location: EngineLocation, options: dict[str, str]) -> Any:
    address = location.address
    if address and not address.startswith(("md:", ":memory:")):
        if not Path(address).exists():  # DuckDB would create an empty one
            msg = f"{location.shown}: {address} does not exist"
            raise DataError(msg)
        options.setdefault("access_mode", "READ_ONLY")
    backend = ibis.duckdb.connect(address or ":memory:", **options)
    spill = tempfile.mkdtemp(prefix="homeostat-duckdb-")
    weakref.finalize(backend, shutil.rmtree, spill, ignore_errors=True)
    # Instants of CSV and of TIMESTAMPTZ do not depend on the machine; what exceeds memory goes to disk.
    backend.con.execute("SET TimeZone = 'UTC'")
    backend.con.execute(f"SET temp_directory = '{spill}'")
    return backend


def _spark_session(address: str, options: dict[str, str]) -> Any:
    """Return the session at a master: ``local[4]``, ``host:7077``; "" is that of the environment."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("homeostat")
    if address:
        master = address.rstrip("/")
        if master.startswith("local"):
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = builder.master(
            master if master.startswith(("local", "yarn", "k8s")) else f"spark://{master}"
        )
    builder = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", "65536")
    builder = builder.config("spark.ui.showConsoleProgress", "false")
    for name, value in options.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _relation(backend: Any, location: EngineLocation) -> Any:
    if location.query:
        return backend.sql(location.query.strip().rstrip(";"))
    if location.table:
        *database, name = location.table.split(".")
        inside = tuple(database) if len(database) > 1 else "".join(database)
        return backend.table(name, database=inside or None)
    if location.engine == "duckdb":
        return _duckdb_files(backend, location)
    if location.engine == "spark":
        if location.files.endswith(_CSV):
            return backend.read_csv(location.files, header=True, inferSchema=True)
        return backend.read_parquet(location.files)
    msg = f"{location.shown}: 'files' is for DuckDB and Spark; write ?table=NAME or ?query=SELECT..."
    raise ConfigError(msg)


def _duckdb_files(backend: Any, location: EngineLocation) -> Any:
    files = location.files
    if files.startswith(("s3://", "s3a://")):
        backend.con.register("homeostat_rows", _s3_dataset(files))
        return backend.table("homeostat_rows")
    path = Path(files)
    if path.is_dir():
        csv = not any(path.rglob("*.parquet"))
        files = str(path / ("**/*.csv*" if csv else "**/*.parquet"))
    elif not any(mark in files for mark in "*?[") and not path.exists():
        msg = f"{location.shown}: {files} does not exist"
        raise DataError(msg)
    if files.endswith((*_CSV, ".csv*")):
        return backend.read_csv(files, union_by_name=True)
    return backend.read_parquet(files, union_by_name=True, hive_partitioning=True)


def _s3_dataset(uri: str) -> Any:
    """Return files in S3 as Arrow's data set: its own access, which needs no extension of DuckDB."""
    from pyarrow import dataset

    from homeostat.adapters.file_systems import open_filesystem

    filesystem, path, _ = open_filesystem(uri.replace("s3a://", "s3://", 1), None)
    kind = "csv" if path.endswith(_CSV) else "parquet"
    return dataset.dataset(path, filesystem=filesystem, format=kind, partitioning="hive")
