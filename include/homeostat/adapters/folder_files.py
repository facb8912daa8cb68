"""Choose the files of a folder that are one table: by their names, and by what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from homeostat.adapters.column_names import looks_like_row
from homeostat.adapters.csv_head import CsvHead, read_csv_head
from homeostat.adapters.file_systems import storage_errors
from homeostat.adapters.table_location import FileKind, FoundFiles, TableFile, list_files
from homeostat.config.errors import DataError

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class TableFiles:
    """The files of a table, the heads of CSV that are read already, and a note on files left out."""

    files: list[TableFile]
    heads: Mapping[str, CsvHead] = field(default_factory=dict)
    note: str = ""


def table_files(uri: str, *, base: Path | None = None, kind: FileKind | None = None) -> TableFiles:
    """Return the files of a table (see :func:`list_files`), in the order of their names.

    A file of a folder whose name does not say what it is (``feb.txt``, ``part-00001``, ``jan.csv.1``) belongs
    to the table if it is Parquet like the others, or CSV with their columns. Where no name says what it is,
    the most frequent columns are those of the table.

    Raises
    ------
    DataError
        As :func:`list_files`, or the folder holds no table.
    """
    found = list_files(uri, base=base, kind=kind)
    left_out = dict(found.left_out)
    chosen, heads = _choose(found, kind, left_out) if found.others else ([], {})
    files = sorted([*found.files, *chosen], key=lambda file: file.path)
    if not files:
        names = sorted({*left_out, *(found.name(file) for file in found.others)})
        content = f"it holds {', '.join(names[:_SHOWN])}" + (", ..." if len(names) > _SHOWN else "")
        content = content if names else "it is empty"
        msg = f"{uri} is a folder without a table in CSV or Parquet; {content}"
        raise DataError(msg)
    return TableFiles(files, heads, _note(uri, left_out))


def _choose(
    found: FoundFiles, kind: FileKind | None, left_out: dict[str, str]
) -> tuple[list[TableFile], dict[str, CsvHead]]:
    """Return the other files that belong to the table, and heads; the rest goes into ``left_out``."""
    kinds = {file.kind for file in found.files or found.others}
    wanted = kind if kind in kinds else "parquet" if "parquet" in kinds else "csv"
    heads: dict[str, CsvHead] = {}
    candidates = [file for file in found.others if file.kind == wanted]
    for file in found.others:
        if file.kind != wanted:
            left_out[found.name(file)] = "Parquet" if file.kind == "parquet" else ""
    if wanted == "parquet":
        return candidates, heads
    for file in candidates:
        try:
            with storage_errors(file.display_name):
                heads[file.path] = read_csv_head(file)
        except (DataError, OSError, EOFError):
            left_out[found.name(file)] = ""
    tables = [file for file in candidates if file.path in heads and heads[file.path].about_rows]
    for file in found.files:
        with storage_errors(file.display_name):
            heads[file.path] = read_csv_head(file)
    usual = _usual_names([heads[file.path].names for file in found.files or tables])
    parts = not found.files  # no name says what a file is, so all as wide are to be parts of the table
    chosen = [file for file in tables if _fits(heads[file.path].names, usual, parts=parts)]
    paths = {file.path for file in chosen}
    for file in candidates:
        if file.path not in paths:
            left_out[found.name(file)] = ""
    return chosen, heads


def _usual_names(names: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return Counter(names).most_common(1)[0][0] if names else ()


def _fits(names: Sequence[str], usual: Sequence[str], *, parts: bool) -> bool:
    """Return whether a file with these names is a part of the table, or was to be one but lacks the names."""
    shared = len(set(names) & set(usual))
    return 2 * shared > len(names) or (1 < len(names) == len(usual) and (parts or looks_like_row(names)))


def _note(uri: str, left_out: Mapping[str, str]) -> str:
    if not left_out:
        return ""
    names = [f"{name} ({what})" if what else name for name, what in sorted(left_out.items())]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    files = "1 file is" if len(names) == 1 else f"{len(names)} files are"
    return f"{uri}: {files} left out, not read as a part of the table: {', '.join(names[:_SHOWN])}{more}"
