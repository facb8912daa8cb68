"""Find the live files of a table that keeps files which no longer belong to it: Delta, Iceberg, Hudi."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from homeostat.config.errors import DataError

_DELTA_LOG = "_delta_log"
_COMMIT = re.compile(r"(\d{20})\.json")
_MARKS = (
    ("Delta", re.compile(rf"(?:^|/){_DELTA_LOG}/")),
    ("Iceberg", re.compile(r"(?:^|/)metadata/[^/]*\.metadata\.json$")),
    ("Hudi", re.compile(r"(?:^|/)\.hoodie/")),
)
#: Features of Delta that change nothing here, as long as no file has a deletion vector or mapped names.
_HARMLESS = {"columnMapping", "deletionVectors", "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"}
_EXPORTS = {
    "Delta": "with deltalake: DeltaTable(path).to_pandas().to_parquet('table.parquet')",
    "Iceberg": "with Spark: spark.table(name).write.parquet(path)",
    "Hudi": "with Spark: spark.read.format('hudi').load(path).write.parquet(other_path)",
}

#: The partitions of each live file, by its path.
LiveFiles = Mapping[str, Mapping[str, str | None]]


def live_files(filesystem: Any, folder: str, inside: Sequence[Any], display_name: str) -> LiveFiles | None:
    """Return the files of a Delta table by its log; None for a folder that is no such table.

    Parameters
    ----------
    filesystem, folder
        Where the table is.
    inside
        Everything below the folder, as Arrow lists it.
    display_name
        The folder in messages.

    Raises
    ------
    DataError
        The folder is, or holds, a table of Iceberg or Hudi, or a Delta table whose log does not say enough.
    """
    outer = _outer_table(filesystem, folder)
    if outer:
        kind, root = outer
        raise DataError(_refused(display_name, kind, f"is a part of the {kind} table in {root}"))
    for each in inside:
        path = each.path.removeprefix(folder).strip("/")
        for kind, mark in _MARKS:
            found = mark.search(path)
            if not found:
                continue
            if found.start() or path[found.start()] == "/":
                root = f"{display_name.rstrip('/')}/{path[: found.start()]}"
                msg = (
                    f"{display_name} holds the {kind} table {root} among others; name the folder of one table"
                )
                raise DataError(msg)
            if kind != "Delta":
                raise DataError(_refused(display_name, kind, f"is a table of {kind}"))
            return _delta_files(filesystem, folder, inside, display_name)
    return None


def _refused(display_name: str, kind: str, what: str) -> str:
    return (
        f"{display_name} {what}, whose folder keeps deleted and replaced rows, too; export the table to "
        f"Parquet, for example {_EXPORTS[kind]}"
    )


def _outer_table(filesystem: Any, folder: str) -> tuple[str, str] | None:
    """Return the kind and the folder of a table of which this folder is a partition, or the ``data``."""
    from pyarrow import fs

    root, _, name = folder.rpartition("/")
    if "=" not in name and name != "data":
        return None
    while "=" in root.rpartition("/")[2]:
        root = root.rpartition("/")[0]
    if root.rpartition("/")[2] == "data":
        root = root.rpartition("/")[0]
    if not root:
        return None
    for inner in (_DELTA_LOG, "metadata", ".hoodie"):
        for each in filesystem.get_file_info(fs.FileSelector(f"{root}/{inner}", allow_not_found=True)):
            for kind, mark in _MARKS:
                if mark.search(each.path.removeprefix(root).strip("/")):
                    return kind, root
    return None


def _delta_files(filesystem: Any, folder: str, inside: Sequence[Any], display_name: str) -> LiveFiles:
    """Return the live files by the log."""
    root = folder.rstrip("/")
    try:
        live = _replay_log(filesystem, f"{root}/{_DELTA_LOG}/", inside)
        found = {f"{root}/{unquote(path)}": values for path, values in live.items()}
        _require_present(found, inside)
    except _Unreadable as why:
        raise DataError(_refused(display_name, "Delta", f"is a Delta table {why}")) from None
    if not found:
        msg = f"{display_name} is a Delta table without a file: it has no rows"
        raise DataError(msg)
    return found


class _Unreadable(Exception):  # why a Delta table is not read, to follow "is a Delta table"
    pass


def _replay_log(filesystem: Any, log: str, inside: Sequence[Any]) -> LiveFiles:
    """Return the partitions of each live file, by its path in the log, from all commits."""
    names = sorted(path.removeprefix(log) for each in inside if (path := each.path).startswith(log))
    commits = [name for name in names if _COMMIT.fullmatch(name)]
    if not commits or [int(name.partition(".")[0]) for name in commits] != list(range(len(commits))):
        msg = "whose log begins with a checkpoint or has a gap"
        raise _Unreadable(msg)
    live: dict[str, Mapping[str, str | None]] = {}
    for name in commits:
        actions = _actions(filesystem, log + name)
        for action in actions:
            _require_plain(action)
            if "remove" in action:
                live.pop(action["remove"]["path"], None)
        for action in actions:
            if "add" in action:
                values = action["add"].get("partitionValues") or {}
                live[action["add"]["path"]] = {key: value or None for key, value in values.items()}
    return live


def _require_present(files: Iterable[str], inside: Sequence[Any]) -> None:
    present = {each.path for each in inside}
    lost = next((path for path in files if path not in present), None)
    if lost is not None:
        msg = f"without the file {lost.rpartition('/')[2]} that its log names"
        raise _Unreadable(msg)


def _actions(filesystem: Any, path: str) -> list[dict[str, Any]]:
    with filesystem.open_input_stream(path) as stream:
        lines = stream.read().decode("utf-8", "replace").splitlines()
    try:
        return [json.loads(line) for line in lines if line.strip()]
    except ValueError:
        msg = f"whose log has a damaged entry, {path.rpartition('/')[2]}"
        raise _Unreadable(msg) from None


def _require_plain(action: Mapping[str, Any]) -> None:
    """Raise _Unreadable for an entry of the log that asks for what is not read here."""
    protocol, added = action.get("protocol") or {}, action.get("add") or {}
    unknown = set(protocol.get("readerFeatures") or ()) - _HARMLESS
    settings = (action.get("metaData") or {}).get("configuration") or {}
    path = str(added.get("path", ""))
    why = ""
    if unknown or protocol.get("minReaderVersion", 1) > 3:
        why = f"with {', '.join(sorted(unknown)) or 'a newer format'}"
    elif settings.get("delta.columnMapping.mode", "none") != "none":
        why = "with mapped column names"
    elif added.get("deletionVector"):
        why = "with deletion vectors"
    elif "://" in path or path.startswith("/"):
        why = "with files in other folders"
    if why:
        raise _Unreadable(why)
