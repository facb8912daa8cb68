"""Optional libraries: the extra of the package that installs each, and the error that names it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from homeostat.config.errors import MissingExtra

#: The extra that installs a top-level module. The smallest one, where several do.
EXTRAS: Mapping[str, str] = {
    "httpx": "client",
    "airflow": "airflow",
    "apprise": "airflow",
    "mlflow": "mlflow",
    "requests": "mlflow",
    "sqlalchemy": "mlflow",
    "great_expectations": "quality",
    "sklearn": "train",
    "skops": "train",
    "joblib": "train",
    "threadpoolctl": "train",
    "matplotlib": "train",
    "fastapi": "gateway",
    "starlette": "gateway",
    "uvicorn": "gateway",
    "uvloop": "gateway",
    "httptools": "gateway",
    "orjson": "gateway",
    "prometheus_client": "gateway",
    "boto3": "aws",
    "botocore": "aws",
    "psycopg2": "postgres",
    "asyncpg": "postgres",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "skl2onnx": "onnx",
    "ibis": "duckdb",
    "duckdb": "duckdb",
    "psycopg": "postgres-tables",
    "pyspark": "spark",
    "opentelemetry": "otel",
}


def install_hint(error: BaseException | None) -> str:
    """Return the command that installs the library that an import lacked; "" for another error."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    extra = EXTRAS.get(error.name.partition(".")[0])
    return f"python -m pip install 'homeostat[{extra}]'" if extra else ""


@contextmanager
def optional_libraries() -> Iterator[None]:
    """Raise MissingExtra, with the command that installs it, where the block lacks an optional library."""
    try:
        yield
    except ModuleNotFoundError as error:
        hint = install_hint(error)
        if not hint:
            raise
        msg = f"this needs the library {error.name}, which is not installed. Install it: {hint}"
        raise MissingExtra(msg) from error


def require_libraries(*modules: str) -> None:
    """Raise MissingExtra for the first of these optional libraries that is not installed; import none."""
    with optional_libraries():
        for module in modules:
            if importlib.util.find_spec(module) is None:
                raise ModuleNotFoundError(name=module)
