"""The development stack's secrets: generated once, kept in the state folder, readable by the owner only."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from homeostat.config.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of Airflow and the gateway.

    ``password`` is that of Airflow's user ``admin``; ``control_token`` authorizes the gateway's control API.
    """

    password: str
    control_token: str
    jwt_secret: str
    api_secret_key: str
    fernet_key: str


def load_secrets(path: Path) -> Secrets:
    """Read the secrets, or generate them at the first start; raises ConfigError when the file is damaged."""
    if not path.exists():
        _write_private(path, json.dumps(asdict(_generate()), indent=1))
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Secrets(**{field.name: str(found[field.name]) for field in fields(Secrets)})
    except (ValueError, KeyError, TypeError) as error:
        msg = (
            f"{path}: damaged secrets file ({error!r}). Delete the file to generate new secrets; connections "
            "that Airflow encrypted with the old key must then be entered again."
        )
        raise ConfigError(msg) from error


def write_passwords(path: Path, secrets_: Secrets) -> None:
    """Write the password file of Airflow's SimpleAuthManager: ``{"admin": password}``."""
    _write_private(path, json.dumps({"admin": secrets_.password}) + "\n")


def _generate() -> Secrets:
    return Secrets(
        password=secrets.token_urlsafe(9),
        control_token=secrets.token_urlsafe(24),
        jwt_secret=secrets.token_urlsafe(64),
        api_secret_key=secrets.token_urlsafe(32),
        fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    )


def _write_private(path: Path, text: str) -> None:
    # Atomic, and never readable by other users.
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
