"""Where the files of a table are: a path, a folder, or the same in S3."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from homeostat.config.errors import ConfigError, DataError, Unavailable

FileKind = Literal["csv", "parquet"]
_SUFFIXES: dict[str, FileKind] = {
    **dict.fromkeys((".csv", ".csv.gz", ".tsv", ".tsv.gz"), "csv"),
    **dict.fromkeys((".parquet", ".pq", ".parq"), "parquet"),
}
_MAGIC = b"PAR1"
_REFUSED = (
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY",
    "SIGNATURE_DOES_NOT_MATCH",
    "INVALID_CLIENT_TOKEN",
    "EXPIRED",
)
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class Found:
    """One file: where it is, how it is called in messages, and what its folders say (``day=1/``)."""

    filesystem: Any  # a pyarrow.fs.FileSystem, which comes without types
    path: str
    shown: str
    kind: FileKind
    size: int
    partitions: Mapping[str, str | None] = field(default_factory=dict)

    def open(self) -> Any:
        """The file for reading here and there."""
        return self.filesystem.open_input_file(self.path)

    def stream(self) -> Any:
        """The file from its beginning, unpacked when its name ends in ``.gz``."""
        return self.filesystem.open_input_stream(self.path, compression="detect")


def locate(uri: str) -> list[Found]:
    """Find the files of a table, in the order of their names.

    Raises
    ------
    DataError
        Nothing is there, a folder holds no table or both kinds, or a file is not what its name says.
    ConfigError
        The object store refuses, or there are no credentials.
    Unavailable
        The object store does not answer.
    """
    from pyarrow import fs

    filesystem, path, prefix = _filesystem(uri)
    with asking(uri):
        info = filesystem.get_file_info(path)
        if info.type == fs.FileType.NotFound:
            raise DataError(_absent(uri, prefix))
        if info.type != fs.FileType.Directory:
            return [_found(filesystem, info, prefix, {})]
        inside = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
        files = [each for each in inside if each.type == fs.FileType.File and _counts(each.path, path)]
        if not files:
            names = sorted(each.base_name for each in inside)
            there = f"it holds {', '.join(names[:5])}" + (", ..." if len(names) > 5 else "")
            msg = f"{uri} is a folder without .csv or .parquet files; {there if names else 'it is empty'}"
            raise DataError(msg)
        found = [
            _found(filesystem, each, prefix, _partitions(each.path, path))
            for each in sorted(files, key=lambda each: each.path)
        ]
    if len({each.kind for each in found}) > 1:
        msg = f"{uri} holds .csv and .parquet files; name the folder or file of one kind"
        raise DataError(msg)
    return found


def _filesystem(uri: str) -> tuple[Any, str, str]:
    """The file system, the path in it, and what stands before a path in messages."""
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
    path = unquote(parts.path) if parts.scheme == "file" else os.fspath(Path(uri).expanduser())
    return fs.LocalFileSystem(), os.path.abspath(path), ""  # noqa: PTH100  # a link stays what it is called


def _s3(uri: str) -> Any:
    """Arrow's S3 with the credentials that boto3 finds, and asking no longer than the store does."""
    import boto3
    from pyarrow import fs

    session = boto3.Session()
    found = session.get_credentials()
    if found is None:
        msg = f"{uri}: no AWS credentials; set AWS_ACCESS_KEY_ID and its secret, or give the task a role"
        raise ConfigError(msg)
    keys = found.get_frozen_credentials()
    elsewhere = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    endpoint = urlsplit(elsewhere) if elsewhere else None
    region = session.region_name
    return fs.S3FileSystem(
        access_key=keys.access_key,
        secret_key=keys.secret_key,
        session_token=keys.token,
        region=region or ("us-east-1" if elsewhere else _region(uri)),
        endpoint_override=endpoint.netloc if endpoint else None,
        scheme=(endpoint.scheme or "https") if endpoint else "https",
        connect_timeout=3,
        request_timeout=30,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=3),
    )


def _region(uri: str) -> str:
    from pyarrow import fs

    with asking(uri):
        return str(fs.resolve_s3_region(urlsplit(uri).netloc))


@contextmanager
def asking(uri: str) -> Iterator[None]:
    """What a file system says about ``uri``, as a sentence that says the cure."""
    try:
        yield
    except PermissionError as error:
        msg = f"{uri}: this user may not read it ({error.strerror or error}); check its permissions"
        raise ConfigError(msg) from error
    except OSError as error:
        said = str(error).partition(" (Request ID")[0]
        if "AWS Error" not in said:
            msg = f"{uri} cannot be read: {said}"
            raise DataError(msg) from error
        if "NO_SUCH_BUCKET" in said:
            msg = f"{uri}: there is no such bucket; check its name, and AWS_ENDPOINT_URL"
            raise DataError(msg) from error
        if any(word in said for word in _REFUSED):
            msg = f"{uri}: the object store refuses; check the credentials and their rights ({said})"
            raise ConfigError(msg) from error
        msg = f"{uri}: the object store does not answer as expected: {said}"
        raise Unavailable(msg) from error


def _absent(uri: str, prefix: str) -> str:
    if prefix:
        return f"{uri} is not there, neither as a file nor as a folder"
    return f"{uri} is not there; paths start from {Path.cwd()}"


def _counts(path: str, folder: str) -> bool:
    """Whether a file below the folder is one of the table's; engines keep their own under _ and dots."""
    parts = path.removeprefix(folder).strip("/").split("/")
    return _kind(path) is not None and not any(part.startswith((".", "_")) for part in parts)


def _kind(path: str) -> FileKind | None:
    name = path.rpartition("/")[2].lower()
    return next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), None)


def _found(filesystem: Any, info: Any, prefix: str, partitions: Mapping[str, str | None]) -> Found:
    shown, kind = prefix + info.path, _kind(info.path)
    if not info.size:
        msg = f"{shown} is empty; expected CSV with a line of column names, or Parquet"
        raise DataError(msg)
    with filesystem.open_input_stream(info.path, compression=None) as stream:
        is_parquet = stream.read(4) == _MAGIC
    if kind == "parquet" and not is_parquet:
        msg = f"{shown} is not a Parquet file: it does not begin with PAR1; is it CSV, or cut short?"
        raise DataError(msg)
    if kind == "csv" and is_parquet:
        msg = f"{shown} is a Parquet file; rename it to end in .parquet"
        raise DataError(msg)
    return Found(filesystem, info.path, shown, "parquet" if is_parquet else "csv", info.size, partitions)


def _partitions(path: str, folder: str) -> dict[str, str | None]:
    """What the folders between say, as Hive writes it: ``day=2026-01-01/hour=3``."""
    between = path.removeprefix(folder).strip("/").split("/")[:-1]
    pairs = (part.partition("=") for part in between if "=" in part)
    return {unquote(name): None if value == _NO_VALUE else unquote(value) for name, _, value in pairs}
