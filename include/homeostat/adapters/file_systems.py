"""Open the file system of a table's location: a disk's, or that of an object store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from homeostat.config.errors import ConfigError, DataError, Unavailable

_ACCESS_ERRORS = (
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY",
    "SIGNATURE_DOES_NOT_MATCH",
    "INVALID_CLIENT_TOKEN",
    "EXPIRED",
)


def open_filesystem(uri: str, base: Path | None) -> tuple[Any, str, str]:
    """Return the file system, the path in it, and the prefix of paths in messages."""
    from pyarrow import fs

    parts = urlsplit(uri)
    if parts.scheme == "s3":
        if not parts.netloc:
            msg = f"{uri!r} names no bucket; write s3://bucket/folder/file.parquet"
            raise ConfigError(msg)
        key = (
            unquote(parts.path).strip("/") if "%" in parts.path else uri.partition(parts.netloc)[2].strip("/")
        )
        return _s3(uri), f"{parts.netloc}/{key}".rstrip("/"), "s3://"
    if parts.scheme and "://" in uri and parts.scheme != "file":
        msg = f"{uri!r}: expected a path, file:///path or s3://bucket/key, not {parts.scheme}://"
        raise ConfigError(msg)
    path = (
        unquote(parts.path)
        if parts.scheme == "file"
        else os.fspath((base or Path()) / Path(uri).expanduser())
    )
    return fs.LocalFileSystem(), os.path.abspath(path), ""  # noqa: PTH100  # a link keeps its name


def _s3(uri: str) -> Any:
    """Return Arrow's S3 file system, with boto3's credentials and the store's time-outs."""
    import boto3
    from pyarrow import fs

    session = boto3.Session()
    found = session.get_credentials()
    if found is None:
        keys_or_role = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the task a role"
        msg = f"{uri}: no AWS credentials; {keys_or_role}"
        raise ConfigError(msg)
    keys = found.get_frozen_credentials()
    endpoint_url = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    endpoint = urlsplit(endpoint_url) if endpoint_url else None
    region = session.region_name
    return fs.S3FileSystem(
        access_key=keys.access_key,
        secret_key=keys.secret_key,
        session_token=keys.token,
        region=region or ("us-east-1" if endpoint_url else _region(uri)),
        endpoint_override=endpoint.netloc if endpoint else None,
        scheme=(endpoint.scheme or "https") if endpoint else "https",
        connect_timeout=3,
        request_timeout=30,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=3),
    )


def _region(uri: str) -> str:
    from pyarrow import fs

    with storage_errors(uri):
        return str(fs.resolve_s3_region(urlsplit(uri).netloc))


@contextmanager
def storage_errors(uri: str) -> Iterator[None]:
    """Translate a file system's errors on ``uri`` into Homeostat's, with what to do."""
    try:
        yield
    except PermissionError as error:
        msg = f"{uri}: permission denied ({error.strerror or error}); check the file's permissions"
        raise ConfigError(msg) from error
    except OSError as error:
        detail = str(error).partition(" (Request ID")[0]
        if "AWS Error" not in detail:
            msg = f"{uri} cannot be read: {detail}"
            raise DataError(msg) from error
        if "NO_SUCH_BUCKET" in detail:
            msg = f"{uri}: the bucket does not exist; check its name, and AWS_ENDPOINT_URL"
            raise DataError(msg) from error
        if any(word in detail for word in _ACCESS_ERRORS):
            msg = f"{uri}: the object store denies access; check the credentials and their rights ({detail})"
            raise ConfigError(msg) from error
        msg = f"{uri}: the object store failed: {detail}; check AWS_ENDPOINT_URL, or try again"
        raise Unavailable(msg) from error
