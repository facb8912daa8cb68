"""Choose the parser for a request's Content-Type; 415 for an unsupported one."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

from homeostat.serving.http.protocols.csv_rows import parse_csv
from homeostat.serving.scoring_request import BadRequest, Rows, parse

#: ``parser(body, spec, max_rows=...)`` -> rows.
Parser = Callable[..., Rows]

_JSON, _CSV = "application/json", "text/csv"
_UTF8 = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
#: Supported besides UTF-8, the default (RFC 7111), because spreadsheets write them.
CHARSETS = {"iso-8859-1": "latin-1", "latin1": "latin-1", "windows-1252": "cp1252", "utf-16": "utf-16"}
_ACCEPTED = "Send 'application/json', or 'text/csv' with a header row"


@lru_cache(maxsize=64)
def rows_parser(content_type: bytes) -> Parser:
    """Choose the parser of a scoring request. Without a Content-Type it is JSON.

    Raises
    ------
    BadRequest
        415 for an unsupported type or charset.
    """
    kind, charset = _split(content_type)
    if kind in (_JSON, ""):
        if charset and charset not in _UTF8:
            raise BadRequest("JSON is always UTF-8: remove the charset from the Content-Type.", 415)
        return parse
    if kind != _CSV:
        msg = f"Unsupported Content-Type. {_ACCEPTED}."
        raise BadRequest(msg, 415)
    if not charset or charset in _UTF8:
        return parse_csv
    encoding = CHARSETS.get(charset)
    if encoding is None:
        msg = f"Unsupported charset. Send text/csv as UTF-8 or one of {', '.join(CHARSETS)}."
        raise BadRequest(msg, 415)
    return partial(parse_csv, encoding=encoding)


def json_only(content_type: bytes) -> None:
    """Raise BadRequest (415) unless the body is JSON, as labels and tensors must be."""
    kind, charset = _split(content_type)
    if kind not in (_JSON, "") or (charset and charset not in _UTF8):
        raise BadRequest("Send JSON, with the header 'Content-Type: application/json'.", 415)


def _split(content_type: bytes) -> tuple[str, str]:
    """Return type and charset of a Content-Type in lower case; other parameters are ignored."""
    kind, *parameters = content_type.decode("latin-1").lower().split(";")
    charset = ""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            charset = value.strip().strip('"')
    return kind.strip(), charset
