"""The tokens in force: from the environment and from a file that is read again when it changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from homeostat.config import Settings
from homeostat.config.errors import ConfigError
from homeostat.serving.auth.tokens import (
    CONTROL,
    LABEL,
    OPERATOR,
    SCOPES,
    Token,
    Verdict,
    check,
    parse_tokens,
)

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
_MAX_BYTES = 1024 * 1024
_WEAK = 16

#: What a file looked like when it was read: rename, edit and truncation all change one of these.
_Signature = tuple[int, int, int]


class Keyring:
    """Holds the tokens and says what needs one; safe to share between threads.

    Parameters
    ----------
    settings
        ``HOMEOSTAT_CONTROL_TOKEN``, ``HOMEOSTAT_TOKENS``, ``HOMEOSTAT_TOKENS_FILE`` and
        ``HOMEOSTAT_REQUIRE_TOKEN``.
    monotonic
        Seconds, for how often the file is looked at; a seam for tests.

    Raises
    ------
    ConfigError
        The tokens or the scopes that are required cannot be read: a gateway must not start open
        because of a typing mistake.
    """

    def __init__(self, settings: Settings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(settings.tokens_file) if settings.tokens_file else None
        self._fixed = _fixed(settings)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._signature: _Signature | None = None
        self._tokens = self._fixed
        self._next = 0.0
        self.trouble = ""
        self.required = _required(settings)
        if self._path is not None:
            self._read(self._path)
            self._next = monotonic() + LOOK_SECONDS

    @property
    def tokens(self) -> tuple[Token, ...]:
        """Those in force now; the file is looked at once a second at most."""
        if self._path is not None and self._monotonic() >= self._next:
            self._look(self._path)
        return self._tokens

    def needs_token(self, scope: str) -> bool:
        """Whether a call of this scope is answered with a token only."""
        return scope in self.required

    def check(self, header: str | None, scope: str) -> Verdict:
        """200 for a token that opens the scope, or when the scope needs none."""
        if scope not in self.required:
            return Verdict(200)
        return check(header, self.tokens, scope)

    def _look(self, path: Path) -> None:
        with self._lock:
            if self._monotonic() < self._next:
                return
            self._next = self._monotonic() + LOOK_SECONDS
            try:
                if _signature(path) != self._signature:
                    self._read(path)
                    logger.info("the tokens were read again: %d in %s", len(self._tokens), path.name)
                self.trouble = ""
            except ConfigError as error:
                # The tokens of before stay: a half-written file must not lock the operators out. It is said
                # once a change, and stands in /health until it is mended.
                if str(error) != self.trouble:
                    logger.error("the tokens of before stay in force: %s", error)  # noqa: TRY400  # no trace needed
                self.trouble = str(error)

    def _read(self, path: Path) -> None:
        try:
            found = _signature(path)
            if found[1] > _MAX_BYTES:
                msg = f"HOMEOSTAT_TOKENS_FILE: {path.name} has {found[1]} bytes, more than any list of tokens"
                raise ConfigError(msg)
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not UTF-8 text"
            msg = f"HOMEOSTAT_TOKENS_FILE: {path.name} cannot be read: {why}"
            raise ConfigError(msg) from None
        tokens = _unique((*self._fixed, *parse_tokens(text, f"HOMEOSTAT_TOKENS_FILE: {path.name}")))
        self._tokens, self._signature = tokens, found


def _signature(path: Path) -> _Signature:
    try:
        found = path.stat()
    except OSError as error:
        msg = f"HOMEOSTAT_TOKENS_FILE: {path.name} cannot be read: {error.strerror}"
        raise ConfigError(msg) from None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _fixed(settings: Settings) -> tuple[Token, ...]:
    tokens = parse_tokens(settings.tokens, "HOMEOSTAT_TOKENS")
    if settings.control_token:
        if len(settings.control_token) < _WEAK:
            logger.warning("HOMEOSTAT_CONTROL_TOKEN has fewer than %d characters and can be guessed", _WEAK)
        tokens = (Token.of(OPERATOR, settings.control_token, [CONTROL]), *tokens)
    return _unique(tokens)


def _unique(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    names = [token.name for token in tokens]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = (
            f"two tokens are called '{twice[0]}' (HOMEOSTAT_CONTROL_TOKEN is called '{OPERATOR}'): rename one"
        )
        raise ConfigError(msg)
    return tokens


def _required(settings: Settings) -> frozenset[str]:
    """Control always; labels too as soon as there are named tokens; the rest as it is configured."""
    asked = settings.require_token
    strange = [scope for scope in asked if scope not in SCOPES]
    if strange:
        msg = f"HOMEOSTAT_REQUIRE_TOKEN: found {strange[0]!r:.40}, expected some of {', '.join(SCOPES)}"
        raise ConfigError(msg)
    named = bool(settings.tokens_file or settings.tokens)
    return frozenset({CONTROL, *asked, *([LABEL] if named else [])})
