"""The local platform's secrets: made once, kept in the state folder, readable by its owner only."""

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
    """What Airflow and the gateway need to trust one another.

    ``password`` is that of Airflow's user ``admin``; ``control_token`` opens the gateway's control side.
    """

    password: str
    control_token: str
    jwt_secret: str
    api_secret_key: str
    fernet_key: str


def load_secrets(path: Path) -> Secrets:
    """Read the secrets, or make them at the first start; raises ConfigError when the file is damaged."""
    if not path.exists():
        _write_private(path, json.dumps(asdict(_generate()), indent=1))
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Secrets(**{field.name: str(found[field.name]) for field in fields(Secrets)})
    except (ValueError, KeyError, TypeError) as error:
        msg = (
            f"{path}: not the secrets that were written there ({error!r}). Remove the file to get new ones; "
            "connections that Airflow encrypted with the old key must then be entered again."
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
    # Complete or not there at all, and never readable by others, not even for a moment.
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
