"""Find the files of a table: a path or a folder, on disk or in S3."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from homeostat.adapters.file_formats import ENOUGH, GZIP, PARQUET, binary_format, text_format
from homeostat.config.errors import ConfigError, DataError, Unavailable

FileKind = Literal["csv", "parquet"]
_SUFFIXES: dict[str, FileKind] = {
    **dict.fromkeys((".csv", ".csv.gz", ".tsv", ".tsv.gz"), "csv"),
    **dict.fromkeys((".parquet", ".pq", ".parq"), "parquet"),
}
_ACCESS_ERRORS = (
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY",
    "SIGNATURE_DOES_NOT_MATCH",
    "INVALID_CLIENT_TOKEN",
    "EXPIRED",
)
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class TableFile:
    """One file: its location, its name in messages, and the partitions of its folders (``day=1/``).

    ``packed``: its content is compressed by gzip, whatever its name.
    """

    filesystem: Any  # a pyarrow.fs.FileSystem, which comes without types
    path: str
    display_name: str
    kind: FileKind
    size: int
    partitions: Mapping[str, str | None] = field(default_factory=dict)
    packed: bool = False

    def open(self) -> Any:
        """Open the file for random access."""
        return self.filesystem.open_input_file(self.path)

    def stream(self) -> Any:
        """Open the file as a stream, decompressed if it is packed."""
        return self.filesystem.open_input_stream(self.path, compression="gzip" if self.packed else None)


def list_files(uri: str, *, base: Path | None = None, kind: FileKind | None = None) -> list[TableFile]:
    """Return the files of a table, in the order of their names.

    Relative paths start from ``base``, by default the working directory. Of a folder with CSV and Parquet
    the files of this ``kind`` are the table.

    Raises
    ------
    DataError
        The file or folder does not exist, a folder holds no table or tables of both kinds, or a file's
        content does not match its name.
    ConfigError
        The object store denies access, or there are no credentials.
    Unavailable
        The object store does not respond.
    """
    from pyarrow import fs

    filesystem, path, prefix = _filesystem(uri, base)
    with storage_errors(uri):
        info = filesystem.get_file_info(path)
        if info.type == fs.FileType.NotFound:
            raise DataError(_not_found(uri, prefix, base))
        if info.type != fs.FileType.Directory:
            return [_table_file(filesystem, info, prefix, {})]
        inside = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
        files = [each for each in inside if each.type == fs.FileType.File and _is_table(each.path, path)]
        if kind is not None and any(_kind(each.path) == kind for each in files):
            files = [each for each in files if _kind(each.path) == kind]
        if not files:
            names = sorted(each.base_name for each in inside)
            content = f"it holds {', '.join(names[:5])}" + (", ..." if len(names) > 5 else "")
            content = content if names else "it is empty"
            msg = f"{uri} is a folder without .csv, .tsv or .parquet files; {content}"
            raise DataError(msg)
        found = [
            _table_file(filesystem, each, prefix, _partitions(each.path, path))
            for each in sorted(files, key=lambda each: each.path)
        ]
    if len({each.kind for each in found}) > 1:
        msg = f"{uri} holds .csv and .parquet files; name the folder or file of one kind"
        raise DataError(msg)
    return found


def _filesystem(uri: str, base: Path | None) -> tuple[Any, str, str]:
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


def _not_found(uri: str, prefix: str, base: Path | None) -> str:
    if prefix:
        return f"{uri} does not exist, neither as a file nor as a folder"
    where = uri if base is None or "://" in uri else base / uri
    return f"{where} does not exist; relative paths start from {base or Path.cwd()}"


def _is_table(path: str, folder: str) -> bool:
    """Return whether a file below the folder belongs to the table; engines keep metadata in _* and .*."""
    parts = path.removeprefix(folder).strip("/").split("/")
    return _kind(path) is not None and not any(part.startswith((".", "_")) for part in parts)


def _kind(path: str) -> FileKind | None:
    name = path.rpartition("/")[2].lower()
    return next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), None)


def _table_file(filesystem: Any, info: Any, prefix: str, partitions: Mapping[str, str | None]) -> TableFile:
    name, kind = prefix + info.path, _kind(info.path)
    if not info.size:
        msg = f"{name} is empty; expected CSV with a line of column names, or Parquet"
        raise DataError(msg)
    with filesystem.open_input_stream(info.path, compression=None) as stream:
        start = stream.read(ENOUGH)
    is_parquet, packed = start.startswith(PARQUET), start.startswith(GZIP)
    if kind == "parquet" and not is_parquet:
        other = binary_format(start) or text_format(start.decode("utf-8", "replace"))
        if other and not packed:
            msg = f"{name} {other}"
        else:
            guess = "is it packed by gzip" if packed else "is it CSV, or truncated"
            msg = f"{name} is not a Parquet file: it does not begin with PAR1; {guess}?"
        raise DataError(msg)
    if kind == "csv" and is_parquet:
        msg = f"{name} is a Parquet file; rename it to end in .parquet"
        raise DataError(msg)
    if name.lower().endswith(".gz") and not packed and not binary_format(start):
        msg = f"{name} cannot be read as gzip: it is not packed; rename it so that it does not end in .gz"
        raise DataError(msg)
    return TableFile(
        filesystem, info.path, name, "parquet" if is_parquet else "csv", info.size, partitions, packed
    )


def _partitions(path: str, folder: str) -> dict[str, str | None]:
    """Return the partitions in the folders between, as Hive writes them: ``day=2026-01-01/hour=3``."""
    between = path.removeprefix(folder).strip("/").split("/")[:-1]
    pairs = (part.partition("=") for part in between if "=" in part)
    return {unquote(name): None if value == _HIVE_NULL else unquote(value) for name, _, value in pairs}
