"""Remove secrets from texts: passwords in URLs, and values of secret environment variables.

:mod:`homeostat.serving.response_redaction` builds on this; it also removes local paths from HTTP responses.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import unquote

MASK = "***"

#: User and password of a URL, as SQLAlchemy, requests and boto quote them in their errors.
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s@'\"]*(?::[^\s@'\"]*)?@")
#: Names of variables whose whole value is a secret.
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|PRIVATE|(?:_|^)KEY(?:_ID)?$|API_?KEY|ACCESS_?KEY")
#: Endings of names whose value is not the secret itself, such as ``..._TOKENS_FILE``, which is a path.
_NOT_SECRET = ("_FILE", "_PATH", "_REQUIRED", "REQUIRE_TOKEN")
#: Parameters of a URL or query that are secrets: ``?password=...``, ``&sig=...``.
_PARAMETER = re.compile(
    r"((?:(?:passw(?:or)?d|passphrase|secret|token|signature|credential|api_?key|access_?key)\w*"
    r"|\b(?:sig|pwd))\s*=\s*)"
    r"('[^']*'|\"[^\"]*\"|[^\s&;,'\"()]+)",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"://[^/\s@:]*:([^\s@]+)@")
#: Shorter values are kept: they are common words, and removing them would garble texts.
_SHORTEST = 6


def redact_userinfo(text: str) -> str:
    """Replace ``user:password@`` by ``***@`` in every URL of a text."""
    return _USERINFO.sub(rf"\g<1>{MASK}@", text) if "://" in text else text


def redact_secrets(text: str) -> str:
    """Do what :func:`redact_userinfo` does, and also replace values of parameters with a secret's name."""
    return _PARAMETER.sub(rf"\g<1>{MASK}", redact_userinfo(text))


def find_secrets(env: Mapping[str, str]) -> set[str]:
    """Return the secret values of an environment: tokens, keys, and passwords in URLs."""
    found = set()
    for name, value in env.items():
        if _SECRET_NAME.search(name.upper()) and not name.upper().endswith(_NOT_SECRET):
            found.add(value.strip())
        for password in _PASSWORD.findall(value):
            found |= {password, unquote(password)}
    return {value for value in found if len(value) >= _SHORTEST}


def secret_redactor(env: Mapping[str, str] | None = None, more: Iterable[str] = ()) -> Callable[[str], str]:
    """Return a function that removes the secrets of an environment (default: the process's) from a text."""
    known = find_secrets(os.environ if env is None else env) | {v for v in more if len(v) >= _SHORTEST}
    if not known:
        return redact_userinfo
    pattern = re.compile("|".join(re.escape(value) for value in sorted(known, key=len, reverse=True)))
    return lambda text: pattern.sub(MASK, redact_userinfo(text))
