"""The configured tokens: from the environment, and from a file that is reloaded when it changes."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from time import monotonic

from homeostat.config import Settings
from homeostat.config.errors import ConfigError
from homeostat.serving.auth.tokens import (
    CONTROL,
    LABEL,
    OPERATOR,
    SCOPES,
    AuthResult,
    Token,
    authorize,
    parse_tokens,
)

logger = logging.getLogger(__name__)

#: How often the file is checked for changes.
CHECK_SECONDS = 1.0
_MAX_BYTES = 1024 * 1024
_MIN_LENGTH = 16  # a shorter control token is warned about

#: Modification time, size and inode: a rename, an edit and a truncation each change one of them.
_Signature = tuple[int, int, int]


class TokenStore:
    """Holds the tokens and knows which scopes need one. Thread-safe.

    Parameters
    ----------
    settings
        ``HOMEOSTAT_CONTROL_TOKEN``, ``HOMEOSTAT_TOKENS``, ``HOMEOSTAT_TOKENS_FILE`` and
        ``HOMEOSTAT_REQUIRE_TOKEN``.

    Raises
    ------
    ConfigError
        The tokens or the required scopes are invalid: a typing mistake must not open the gateway.
    """

    def __init__(self, settings: Settings) -> None:
        self._path = Path(settings.tokens_file) if settings.tokens_file else None
        self._from_env = _tokens_from_env(settings)
        self._lock = threading.Lock()
        self._signature: _Signature | None = None
        self._tokens = self._from_env
        self._next_check = 0.0
        #: Why the file could not be reloaded; "" while it can.
        self.error = ""
        self.required = _required_scopes(settings)
        if self._path is not None:
            self._load(self._path)
            self._next_check = monotonic() + CHECK_SECONDS

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The valid tokens; the file is checked for changes at most once per :data:`CHECK_SECONDS`."""
        if self._path is not None and monotonic() >= self._next_check:
            self._reload_if_changed(self._path)
        return self._tokens

    def needs_token(self, scope: str) -> bool:
        """Return whether calls of this scope need a token."""
        return scope in self.required

    def authorize(self, header: str | None, scope: str) -> AuthResult:
        """Check an ``Authorization`` header; 200 when the token grants the scope or the scope needs none."""
        if scope not in self.required:
            return AuthResult(200)
        return authorize(header, self.tokens, scope)

    def _reload_if_changed(self, path: Path) -> None:
        with self._lock:
            if monotonic() < self._next_check:
                return
            self._next_check = monotonic() + CHECK_SECONDS
            try:
                if _signature(path) != self._signature:
                    self._load(path)
                    logger.info("tokens reloaded: %d in %s", len(self._tokens), path.name)
                self.error = ""
            except ConfigError as error:
                # A half-written file must not lock the operators out. Log each error once; /health shows it
                # until the file is valid again.
                if str(error) != self.error:
                    logger.error("the previous tokens stay valid: %s", error)  # noqa: TRY400  # no trace needed
                self.error = str(error)

    def _load(self, path: Path) -> None:
        try:
            signature = _signature(path)
            if signature[1] > _MAX_BYTES:
                msg = f"HOMEOSTAT_TOKENS_FILE: {path.name} has {signature[1]} bytes, more than {_MAX_BYTES}"
                raise ConfigError(msg)
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not UTF-8 text"
            msg = f"HOMEOSTAT_TOKENS_FILE: {path.name} cannot be read: {why}"
            raise ConfigError(msg) from None
        tokens = _unique((*self._from_env, *parse_tokens(text, f"HOMEOSTAT_TOKENS_FILE: {path.name}")))
        self._tokens, self._signature = tokens, signature


def _signature(path: Path) -> _Signature:
    try:
        found = path.stat()
    except OSError as error:
        msg = f"HOMEOSTAT_TOKENS_FILE: {path.name} cannot be read: {error.strerror}"
        raise ConfigError(msg) from None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _tokens_from_env(settings: Settings) -> tuple[Token, ...]:
    tokens = parse_tokens(settings.tokens, "HOMEOSTAT_TOKENS")
    if settings.control_token:
        if len(settings.control_token) < _MIN_LENGTH:
            logger.warning(
                "HOMEOSTAT_CONTROL_TOKEN has fewer than %d characters and can be guessed; "
                "'homeostat token' makes a long one",
                _MIN_LENGTH,
            )
        tokens = (Token.of(OPERATOR, settings.control_token, [CONTROL]), *tokens)
    return _unique(tokens)


def _unique(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    names = [token.name for token in tokens]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        msg = f"duplicate token name '{duplicates[0]}' (HOMEOSTAT_CONTROL_TOKEN is '{OPERATOR}'): rename one"
        raise ConfigError(msg)
    return tokens


def _required_scopes(settings: Settings) -> frozenset[str]:
    """``control``, ``label`` if there are named tokens, and what HOMEOSTAT_REQUIRE_TOKEN lists."""
    listed = settings.require_token
    unknown = [scope for scope in listed if scope not in SCOPES]
    if unknown:
        msg = (
            f"HOMEOSTAT_REQUIRE_TOKEN: found {unknown[0]!r:.40}, expected one or more of {', '.join(SCOPES)}"
        )
        raise ConfigError(msg)
    has_named = bool(settings.tokens_file or settings.tokens)
    return frozenset({CONTROL, *listed, *([LABEL] if has_named else [])})
