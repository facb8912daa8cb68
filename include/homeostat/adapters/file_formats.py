"""Recognise files that are neither CSV nor Parquet by their first bytes, and say what helps."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"
#: Bytes, or characters, of a file that decide.
ENOUGH = 4096


class OtherFormat(NamedTuple):
    """What a file is, and how to make CSV or Parquet of it."""

    what: str
    cure: str

    def __str__(self) -> str:
        """Return both, to follow the name of a file."""
        return f"is {self.what}, neither CSV nor Parquet; {self.cure}"


_SAVE = "save the table as CSV UTF-8, or as Parquet"
_UNPACK = "unpack it; a CSV may stay packed by gzip"
_EXPORT = "export the table as CSV or Parquet"


def _with_pandas(call: str) -> str:
    return f"convert it, for example with pandas: {call}.to_parquet('table.parquet')"


#: A ``\0`` further on tells such a file from a CSV whose first column has a name like it.
_BINARY: tuple[tuple[bytes, str, str], ...] = (
    (rb"PK\x03\x04.*?\bxl/", "an Excel workbook", _SAVE),
    (rb"PK\x03\x04.*?opendocument", "an OpenDocument file", _SAVE),
    (rb"PK(?:\x03\x04|\x05\x06)", "a zip archive", _UNPACK),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (.xls, or with a password)", _SAVE),
    (rb"(?:ARROW1|FEA1).*?\0", "Feather (Arrow IPC)", _with_pandas("read_feather(path)")),
    (rb"\xff\xff\xff\xff.{3}\0", "an Arrow stream", "write it as Parquet"),
    (rb"ORC.*?\0", "ORC", _with_pandas("read_orc(path)")),
    (rb"Obj\x01", "Avro", "convert it to Parquet"),
    (rb"PAR1", "Parquet in another package", _UNPACK),
    (rb"PARE", "Parquet with an encrypted footer", "write it without encryption"),
    (GZIP, "packed by gzip twice", _UNPACK),
    (rb"BZh[1-9]1AY&SY", "packed by bzip2", _UNPACK),
    (rb"\xfd7zXZ\0", "packed by xz", _UNPACK),
    (rb"\x28\xb5\x2f\xfd", "packed by zstd", _UNPACK),
    (rb"\x04\x22\x4d\x18", "packed by lz4", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|.{257}ustar", "an archive (7z, rar or tar)", _UNPACK),
    (rb"SQLite format 3\0", "an SQLite database", _EXPORT),
    (rb"\x89HDF\r\n\x1a\n", "HDF5", _with_pandas("read_hdf(path)")),
    (rb"\x93NUMPY", "a NumPy array", "write it as CSV with a line of column names"),
    (rb"\x80[\x02-\x05](?:\x95|c|\})", "a Python pickle", _with_pandas("read_pickle(path)")),
    (rb"RDX[23]\n.*?\0|[XA]\n\0", "R data", "write it with R's write.csv"),
    (rb"<stata_dta>|[\x71-\x73][\x01\x02]\x01\0", "Stata data", _with_pandas("read_stata(path)")),
    (rb"\$FL[23]@\(#\)", "SPSS data", _with_pandas("read_spss(path)")),
    (rb"\0{12}\xc2\xea\x81\x60|HEADER RECORD\*{7}", "SAS data", _with_pandas("read_sas(path)")),
    (rb"MATLAB 5\.0 MAT-file", "MATLAB data", "write it as CSV with MATLAB's writetable"),
    (rb"%PDF-", "a PDF", _SAVE),
)
#: A text of more characters may be cut off, in a number or a word of at most so many.
_SHORT, _LITERAL = 200, 20
_DOWNLOAD = "it may be the page of a login, an error or a preview: download the file itself"
_SQL_COMMENTS = r"(?:--[^\n]*\n\s*|/\*.*?\*/;?\s*)*"
_SQL = r"(?:(?:CREATE|DROP) (?:TABLE|DATABASE|SCHEMA)\b|INSERT INTO\b|SET \w+ ?=)"
_TEXT: tuple[tuple[str, str, str], ...] = (
    (r"version https://git-lfs\.", "a Git LFS pointer", "run 'git lfs pull'"),
    (r"\{\s*[\"'}][^\n]*\}[ \t\r]*\n\s*\{", "JSON Lines", _with_pandas("read_json(path, lines=True)")),
    (r"(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body)\b", "an HTML page", _DOWNLOAD),
    (r"<(?:\?xml|!doctype|!--)|<[\w:.-]+(?:\s[^<>]*)?>(?=.*</)", "XML", _DOWNLOAD + ", or convert it"),
    (r"(?:%[^\n]*\n\s*)*@relation\s", "ARFF (Weka)", "write it as CSV with a line of column names"),
    (_SQL_COMMENTS + _SQL, "a dump of SQL statements", _EXPORT),
    (r"\{\\rtf", "a document in Rich Text Format", _SAVE),
)
_JSON = OtherFormat("JSON", _with_pandas("read_json(path)"))
_BINARY_PATTERNS = [
    (re.compile(pattern, re.DOTALL), OtherFormat(what, cure)) for pattern, what, cure in _BINARY
]
_TEXT_PATTERNS = [
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), OtherFormat(what, cure)) for pattern, what, cure in _TEXT
]


def binary_format(content: bytes) -> OtherFormat | None:
    """Return what a file with these first bytes is; None for what may be text."""
    start = content[:ENOUGH]
    return next((found for pattern, found in _BINARY_PATTERNS if pattern.match(start)), None)


def text_format(text: str) -> OtherFormat | None:
    """Return what a file is whose text begins like this; None for what may be CSV."""
    start = text.lstrip()[:ENOUGH]
    known = next((found for pattern, found in _TEXT_PATTERNS if pattern.match(start)), None)
    return known or (_JSON if _begins_as_json(start) else None)


def _begins_as_json(start: str) -> bool:
    """Return whether a text, or its beginning, is JSON; a column may be called ``[``, too."""
    if start[:1] not in ("[", "{"):
        return False
    try:
        end = json.JSONDecoder().raw_decode(start)[1]
    except json.JSONDecodeError as error:
        cut_off = _LITERAL if len(start) > _SHORT else 0
        return error.pos >= len(start.rstrip()) - cut_off or error.msg.startswith("Unterminated string")
    return not start[end:].strip() or start[end:].lstrip()[0] in "[{"
