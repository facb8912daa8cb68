"""Who may do what: named tokens with scopes, of which only the SHA-256 is kept.

Pure: no file, no clock. A token is compared with every entry in constant time, so that how long a
refusal takes says nothing about any of them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from homeostat.config.errors import ConfigError

PREDICT, LABEL, READ, CONTROL = "predict", "label", "read", "control"
#: Every scope with what it opens; ``control`` opens the others as well.
SCOPES = {
    PREDICT: "send rows to be scored",
    LABEL: "hand in labels",
    READ: "read state, metrics and the API's description",
    CONTROL: "roll back, approve, promote and flush",
}
OPERATOR = "operator"  # the name of whoever holds HOMEOSTAT_CONTROL_TOKEN

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEYS = frozenset({"name", "sha256", "scopes"})
_EXAMPLE = "- {name: labels-job, sha256: <64 hexadecimal digits>, scopes: [label]}"
_CURE = "'homeostat token NAME --scope SCOPE' makes a token and prints its entry"


@dataclass(frozen=True, slots=True)
class Token:
    """One entry: a name for the audit trail, the SHA-256 of the token, and what it opens."""

    name: str
    digest: bytes
    scopes: frozenset[str]

    @classmethod
    def of(cls, name: str, secret: str, scopes: Iterable[str]) -> Token:
        """The entry of a token that is known in the clear."""
        return cls(name, digest_of(secret), frozenset(scopes))

    def opens(self, scope: str) -> bool:
        """Whether the token may be used for this."""
        return scope in self.scopes or CONTROL in self.scopes

    def entry(self) -> dict[str, Any]:
        """The token as it stands in the tokens file."""
        return {"name": self.name, "sha256": self.digest.hex(), "scopes": sorted(self.scopes)}


@dataclass(frozen=True, slots=True)
class Verdict:
    """200 and the holder's name; or 401 or 403, the sentence, and the name if it is known."""

    status: int
    sentence: str = ""
    name: str = ""


def digest_of(secret: str) -> bytes:
    """SHA-256 of a token. Tokens are 256 random bits, so that no slow hash is needed to protect them."""
    return hashlib.sha256(secret.encode()).digest()


def new_secret() -> str:
    """A token that nobody guesses: 256 random bits, with a prefix by which scanners find leaked ones."""
    return f"homeostat_{secrets.token_urlsafe(32)}"


def check(header: str | None, tokens: Sequence[Token], scope: str) -> Verdict:
    """Hold an ``Authorization`` header against the tokens.

    401 without a bearer token, 403 for one that nobody has and for one without the scope.
    """
    if not tokens:
        return Verdict(403, _OFF if scope == CONTROL else _NOBODY.format(scope=scope))
    scheme, _, given = (header or "").partition(" ")
    given = given.strip()
    if scheme.lower() != "bearer" or not given:
        return Verdict(401, f"This needs the header 'Authorization: Bearer <a token with scope {scope}>'.")
    digest = digest_of(given)
    found: Token | None = None
    for token in tokens:  # all of them, always
        if hmac.compare_digest(token.digest, digest):
            found = token
    if found is None:
        return Verdict(403, "The token is not the one that this gateway was started with, nor in its file.")
    if not found.opens(scope):
        has = ", ".join(sorted(found.scopes))
        return Verdict(403, f"This needs a token with scope {scope}; this one has: {has}.", found.name)
    return Verdict(200, name=found.name)


_OFF = (
    "Control calls are off: no token is configured. Set HOMEOSTAT_CONTROL_TOKEN and start the gateway again."
)
_NOBODY = "This needs a token with scope {scope}, and none is configured."


def parse_tokens(text: str, where: str) -> tuple[Token, ...]:
    """Read a list of entries, YAML or JSON; ``where`` is for messages, which never show a value.

    Raises
    ------
    ConfigError
        Not such a list; names the entry and the key.
    """
    try:
        raw = yaml.safe_load(text) if text.strip() else []
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        msg = f"{where}{line}: not YAML; expected a list of entries such as {_EXAMPLE}"
        raise ConfigError(msg) from None
    if isinstance(raw, dict) and set(raw) == {"tokens"}:
        raw = raw["tokens"] or []
    if not isinstance(raw, list):
        msg = f"{where}: expected a list of entries such as {_EXAMPLE}; {_CURE}"
        raise ConfigError(msg)
    tokens = tuple(_parse(item, f"{where}, entry {number}") for number, item in enumerate(raw, 1))
    for number, token in enumerate(tokens, 1):
        for other in tokens[: number - 1]:
            same = "name" if other.name == token.name else "sha256" if other.digest == token.digest else ""
            if same:
                msg = f"{where}, entry {number}: '{same}' is that of an earlier entry; each has its own"
                raise ConfigError(msg)
    return tokens


def _parse(item: Any, where: str) -> Token:
    if not isinstance(item, dict) or set(item) != _KEYS:
        msg = f"{where}: expected exactly the keys name, sha256 and scopes, as in {_EXAMPLE}; {_CURE}"
        raise ConfigError(msg)
    name, digest = item["name"], item["sha256"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        msg = f"{where}, 'name': expected letters, digits, '.', '_' and '-', at most 64"
        raise ConfigError(msg)
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        msg = f"{where} ({name}), 'sha256': expected 64 hexadecimal digits, not the token itself; {_CURE}"
        raise ConfigError(msg)
    return Token(name, bytes.fromhex(digest), parse_scopes(item["scopes"], f"{where} ({name}), 'scopes'"))


def parse_scopes(raw: Any, where: str) -> frozenset[str]:
    """Check a list of scopes; ConfigError names the one that there is not."""
    if not isinstance(raw, (list, tuple)) or not raw:
        msg = f"{where}: expected a list out of {', '.join(SCOPES)}"
        raise ConfigError(msg)
    strange = [scope for scope in raw if not isinstance(scope, str) or scope not in SCOPES]
    if strange:
        msg = f"{where}: found {strange[0]!r:.40}, expected some of {', '.join(SCOPES)}"
        raise ConfigError(msg)
    return frozenset(raw)
