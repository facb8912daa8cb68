"""API tokens with scopes: parse the configured entries and check a request's token. Pure: no file, no clock.

Only the SHA-256 of a token is stored. A given token is compared with every entry in constant time, so that
the response time reveals nothing about the stored ones.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from homeostat.config.errors import ConfigError

PREDICT, LABEL, READ, CONTROL = "predict", "label", "read", "control"
#: Every scope and what it allows; ``control`` includes the others.
SCOPES = {
    PREDICT: "send rows to be scored",
    LABEL: "send labels",
    READ: "read state, metrics and the API description",
    CONTROL: "roll back, approve, promote and flush",
}
OPERATOR = "operator"  # the name of the token in HOMEOSTAT_CONTROL_TOKEN

_EXAMPLE = "- {name: labels-job, sha256: <64 hexadecimal digits>, scopes: [label]}"
_FIX = "'homeostat token NAME --scope SCOPE' makes a token and prints its entry"
#: What an entry, or the named key of one, must be.
_EXPECTED = {
    "": f": expected exactly the keys name, sha256 and scopes, as in {_EXAMPLE}; {_FIX}",
    "name": ", 'name': expected letters, digits, '.', '_' and '-', at most 64",
    "sha256": f", 'sha256': expected 64 hexadecimal digits, not the token itself; {_FIX}",
}


class TokenEntry(BaseModel):
    """One entry of the tokens file."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Any  # checked by parse_scopes, which HOMEOSTAT_REQUIRE_TOKEN and the command line use too


@dataclass(frozen=True, slots=True)
class Token:
    """A token's name (for the audit log), its SHA-256, and its scopes."""

    name: str
    digest: bytes
    scopes: frozenset[str]

    @classmethod
    def of(cls, name: str, secret: str, scopes: Iterable[str]) -> Token:
        """Make the token of a secret in plain text."""
        return cls(name, digest_of(secret), frozenset(scopes))

    def grants(self, scope: str) -> bool:
        """Return whether the token may be used for this scope."""
        return scope in self.scopes or CONTROL in self.scopes

    def entry(self) -> dict[str, Any]:
        """Return the token's entry for the tokens file."""
        return {"name": self.name, "sha256": self.digest.hex(), "scopes": sorted(self.scopes)}


@dataclass(frozen=True, slots=True)
class AuthResult:
    """200 and the token's name; or 401 or 403, the message, and the name if the token is known."""

    status: int
    message: str = ""
    name: str = ""


def digest_of(secret: str) -> bytes:
    """Return the SHA-256 of a token. Tokens are 256 random bits, so a slow hash is not needed."""
    return hashlib.sha256(secret.encode()).digest()


def new_secret() -> str:
    """Make a token: 256 random bits, with a prefix by which secret scanners recognise leaked ones."""
    return f"homeostat_{secrets.token_urlsafe(32)}"


def authorize(header: str | None, tokens: Sequence[Token], scope: str) -> AuthResult:
    """Check an ``Authorization`` header.

    401 without a bearer token; 403 for an unknown token or a missing scope.
    """
    if not tokens:
        return AuthResult(403, _CONTROL_OFF if scope == CONTROL else _NO_TOKENS.format(scope=scope))
    scheme, _, given = (header or "").partition(" ")
    given = given.strip()
    if scheme.lower() != "bearer" or not given:
        return AuthResult(
            401, f"Send the header 'Authorization: Bearer TOKEN' with a token of scope {scope}."
        )
    digest = digest_of(given)
    found: Token | None = None
    for token in tokens:  # no early exit: the time must not depend on which entry matches
        if hmac.compare_digest(token.digest, digest):
            found = token
    if found is None:
        return AuthResult(
            403, "Unknown token: it is neither HOMEOSTAT_CONTROL_TOKEN nor in the list of tokens."
        )
    if not found.grants(scope):
        has = ", ".join(sorted(found.scopes))
        return AuthResult(
            403, f"This call needs a token with scope {scope}; this one has: {has}.", found.name
        )
    return AuthResult(200, name=found.name)


_CONTROL_OFF = "Control calls are off: set HOMEOSTAT_CONTROL_TOKEN and restart the gateway."
_NO_TOKENS = (
    "This call needs a token with scope {scope}, and none is configured: add one to HOMEOSTAT_TOKENS_FILE."
)


def parse_tokens(text: str, source: str) -> tuple[Token, ...]:
    """Parse a list of entries, YAML or JSON. ``source`` is for error messages, which never contain a secret.

    Raises
    ------
    ConfigError
        The text is not such a list; the message names the entry and the key.
    """
    try:
        raw = yaml.safe_load(text) if text.strip() else []
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        msg = f"{source}{line}: not YAML; expected a list of entries such as {_EXAMPLE}"
        raise ConfigError(msg) from None
    if isinstance(raw, dict) and set(raw) == {"tokens"}:
        raw = raw["tokens"] or []
    if not isinstance(raw, list):
        msg = f"{source}: expected a list of entries such as {_EXAMPLE}; {_FIX}"
        raise ConfigError(msg)
    tokens: list[Token] = []
    for number, item in enumerate(raw, 1):
        token = _parse(item, f"{source}, entry {number}")
        for other in tokens:
            same = "name" if other.name == token.name else "sha256" if other.digest == token.digest else ""
            if same:
                msg = (
                    f"{source}, entry {number}: '{same}' is also that of an earlier entry; it must be unique"
                )
                raise ConfigError(msg)
        tokens.append(token)
    return tuple(tokens)


def _parse(item: Any, where: str) -> Token:
    try:
        entry = TokenEntry.model_validate(item)
    except ValidationError as error:
        details = error.errors(include_input=False)
        invalid_text = all(detail["type"].startswith("string_") for detail in details)
        key = str(details[0]["loc"][0]) if invalid_text else ""
        raise ConfigError(where + _EXPECTED[key]) from None
    scopes = parse_scopes(entry.scopes, f"{where} ({entry.name}), 'scopes'")
    return Token(entry.name, bytes.fromhex(entry.sha256), scopes)


def parse_scopes(raw: Any, where: str) -> frozenset[str]:
    """Check a list of scopes; ConfigError names the unknown one."""
    if not isinstance(raw, (list, tuple)) or not raw:
        msg = f"{where}: expected a list of {', '.join(SCOPES)}"
        raise ConfigError(msg)
    unknown = [scope for scope in raw if not isinstance(scope, str) or scope not in SCOPES]
    if unknown:
        msg = f"{where}: found {unknown[0]!r:.40}, expected one or more of {', '.join(SCOPES)}"
        raise ConfigError(msg)
    return frozenset(raw)
