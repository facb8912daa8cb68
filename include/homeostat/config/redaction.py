"""Secrets taken out of a text before anybody reads it: passwords in URLs, and values known to be secret."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import unquote

MASK = "***"

#: User and password of a URL, as SQLAlchemy, requests and boto quote them in their errors.
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s@'\"]*(?::[^\s@'\"]*)?@")
#: Variables whose whole value is a secret, by what people call them.
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|PRIVATE|(?:_|^)KEY(?:_ID)?$|API_?KEY|ACCESS_?KEY")
#: What the name of a secret, such as ``..._TOKENS_FILE``, ends with when the value only says where it lies.
_ONLY_NAMES_IT = ("_FILE", "_PATH", "_REQUIRED", "REQUIRE_TOKEN")
#: Parameters of a URL, or settings within a query, that are secrets: ``?password=...``, ``&sig=...``.
_PARAMETER = re.compile(
    r"((?:(?:passw(?:or)?d|passphrase|secret|token|signature|credential|api_?key|access_?key)\w*"
    r"|\b(?:sig|pwd))\s*=\s*)"
    r"('[^']*'|\"[^\"]*\"|[^\s&;,'\"()]+)",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"://[^/\s@:]*:([^\s@]+)@")
#: Shorter values are words that texts hold anyway.
_SHORTEST = 6


def without_userinfo(text: str) -> str:
    """The text with ``user:password@`` of every URL in it replaced by ``***@``."""
    return _USERINFO.sub(rf"\g<1>{MASK}@", text) if "://" in text else text


def without_secrets(text: str) -> str:
    """As :func:`without_userinfo`, and without the values of parameters that are secrets by their name."""
    return _PARAMETER.sub(rf"\g<1>{MASK}", without_userinfo(text))


def secrets_of(env: Mapping[str, str]) -> set[str]:
    """The values of an environment that nobody should read: tokens, keys, and passwords within URLs."""
    found = set()
    for name, value in env.items():
        if _SECRET_NAME.search(name.upper()) and not name.upper().endswith(_ONLY_NAMES_IT):
            found.add(value.strip())
        for password in _PASSWORD.findall(value):
            found |= {password, unquote(password)}
    return {value for value in found if len(value) >= _SHORTEST}


def masker(env: Mapping[str, str] | None = None, more: Iterable[str] = ()) -> Callable[[str], str]:
    """Make a function that takes every secret of this environment (default: the process's) out of a text."""
    known = secrets_of(os.environ if env is None else env) | {v for v in more if len(v) >= _SHORTEST}
    if not known:
        return without_userinfo
    pattern = re.compile("|".join(re.escape(value) for value in sorted(known, key=len, reverse=True)))
    return lambda text: pattern.sub(MASK, without_userinfo(text))
