"""Find the files of a table: a path or a folder, on disk or in S3."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from homeostat.adapters.file_formats import ENOUGH, GZIP, PARQUET, OtherFormat, binary_format, text_format
from homeostat.adapters.file_systems import open_filesystem, storage_errors
from homeostat.adapters.lake_tables import live_files
from homeostat.config.errors import DataError

FileKind = Literal["csv", "parquet"]
_SUFFIXES: dict[str, FileKind] = {
    **dict.fromkeys((".csv", ".csv.gz", ".tsv", ".tsv.gz"), "csv"),
    **dict.fromkeys((".parquet", ".pq", ".parq"), "parquet"),
}
#: Files that are no table: text and code about it, checksums, copies that programs leave behind.
_NO_TABLE = re.compile(
    r".*(?:~|\.(?:md|rst|html?|json|xml|ya?ml|toml|ini|cfg|py|ipynb|r|sh|sql|log|bak|orig|tmp|swp|crc|md5|sha\d+"
    r"|sum|lock|png|jpe?g|gif|svg|pdf))",
    re.IGNORECASE,
)
#: The name of a table that is packed: ``sales.csv.zip``.
_PACKED = re.compile(r"(.*\.(?:csv|tsv|txt|parquet))\.\w+", re.IGNORECASE)
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


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The files of a table, in the order of their names.

    Attributes
    ----------
    files
        Files whose names say what they are, and the one that was asked for.
    others
        Files of a folder whose names do not say so, but whose first bytes may be those of a table.
    left_out
        What the other files of a folder are, by name; empty where their names say enough.
    folder
        The path of the folder; empty for one file.
    """

    files: list[TableFile]
    others: list[TableFile] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    folder: str = ""

    def name(self, file: TableFile) -> str:
        """Return the name of a file below the folder."""
        return file.path.removeprefix(self.folder).strip("/")


def list_files(uri: str, *, base: Path | None = None, kind: FileKind | None = None) -> FoundFiles:
    """Find the files of a table.

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

    filesystem, path, prefix = open_filesystem(uri, base)
    with storage_errors(uri):
        info = filesystem.get_file_info(path)
        if info.type == fs.FileType.NotFound:
            raise DataError(_not_found(uri, prefix, base))
        if info.type != fs.FileType.Directory:
            return FoundFiles([_table_file(filesystem, info, prefix, {})])
        inside = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
        inside = sorted(
            (each for each in inside if each.type == fs.FileType.File), key=lambda each: each.path
        )
        live = live_files(filesystem, path, inside, uri)
        if live is not None:
            return FoundFiles(
                [
                    _table_file(filesystem, each, prefix, live[each.path])
                    for each in inside
                    if each.path in live
                ]
            )
        return _files_of_folder(filesystem, inside, path, prefix, kind)


def _files_of_folder(
    filesystem: Any, inside: Iterable[Any], folder: str, prefix: str, kind: FileKind | None
) -> FoundFiles:
    visible = [each for each in inside if not _is_hidden(each.path, folder)]
    named = [each for each in visible if _kind(each.path) is not None]
    if kind is not None and any(_kind(each.path) == kind for each in named):
        named = [each for each in named if _kind(each.path) == kind]
    files = [_table_file(filesystem, each, prefix, _partitions(each.path, folder)) for each in named]
    found = FoundFiles(files, folder=folder)
    if len({each.kind for each in found.files}) > 1:
        msg = f"{prefix}{folder} holds .csv and .parquet files; name the folder or file of one kind"
        raise DataError(msg)
    paths = {each.path for each in visible}
    for each in visible:
        if _kind(each.path) is not None or not each.size:
            continue
        name = each.path.removeprefix(folder).strip("/")
        if _NO_TABLE.fullmatch(name):
            found.left_out[name] = ""
            continue
        with filesystem.open_input_stream(each.path, compression=None) as stream:
            start = stream.read(ENOUGH)
        other = _other_format(start)
        if other is None:
            found.others.append(_sniffed(filesystem, each, prefix, _partitions(each.path, folder), start))
            continue
        packed = _PACKED.fullmatch(each.path)
        if packed and packed[1] not in paths and "unpack" in other.cure:
            msg = f"{prefix}{each.path} {other}; or move it out of the folder"
            raise DataError(msg)
        found.left_out[name] = other.what
    return found


def _other_format(start: bytes) -> OtherFormat | None:
    """Return what a file with these first bytes is; None for what may be CSV or Parquet."""
    if start.startswith((PARQUET, GZIP)):
        return None
    return binary_format(start) or text_format(start.decode("utf-8", "replace"))


def _not_found(uri: str, prefix: str, base: Path | None) -> str:
    if prefix:
        return f"{uri} does not exist, neither as a file nor as a folder"
    where = uri if base is None or "://" in uri else base / uri
    return f"{where} does not exist; relative paths start from {base or Path.cwd()}"


def _is_hidden(path: str, folder: str) -> bool:
    """Return whether a file below the folder is no data: engines keep metadata in _* and .*."""
    return any(part.startswith((".", "_")) for part in path.removeprefix(folder).strip("/").split("/"))


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
    return _sniffed(filesystem, info, prefix, partitions, start)


def _sniffed(
    filesystem: Any, info: Any, prefix: str, partitions: Mapping[str, str | None], start: bytes
) -> TableFile:
    """Return the file that begins with these bytes."""
    kind: FileKind = "parquet" if start.startswith(PARQUET) else "csv"
    packed = start.startswith(GZIP)
    return TableFile(filesystem, info.path, prefix + info.path, kind, info.size, partitions, packed)


def _partitions(path: str, folder: str) -> dict[str, str | None]:
    """Return the partitions in the folders between, as Hive writes them: ``day=2026-01-01/hour=3``."""
    between = path.removeprefix(folder).strip("/").split("/")[:-1]
    pairs = (part.partition("=") for part in between if "=" in part)
    return {unquote(name): None if value == _HIVE_NULL else unquote(value) for name, _, value in pairs}
