"""``make env``: the secrets that docker-compose.yml asks for, generated into an ignored ``.env``.

Values that are there stay as they are; missing ones are added. The standard library is enough for this.
"""

# ruff: noqa: INP001 - a script beside the file that calls it, not a package

from __future__ import annotations

import base64
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def _word() -> str:
    # Letters and digits only: it goes into a URL and a shell as it is.
    return secrets.token_urlsafe(24).replace("-", "x").replace("_", "y")


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


GENERATED: dict[str, Callable[[], str]] = {
    "POSTGRES_PASSWORD": _word,
    "AIRFLOW_DB_PASSWORD": _word,
    "MLFLOW_DB_PASSWORD": _word,
    "LEDGER_DB_PASSWORD": _word,
    "AIRFLOW_FERNET_KEY": _fernet_key,
    "AIRFLOW_JWT_SECRET": lambda: secrets.token_urlsafe(64),
    "AIRFLOW_API_SECRET_KEY": lambda: secrets.token_urlsafe(32),
    "AIRFLOW_ADMIN_PASSWORD": _word,
    "HOMEOSTAT_CONTROL_TOKEN": _word,
    "AWS_ACCESS_KEY_ID": _word,
    "AWS_SECRET_ACCESS_KEY": _word,
}


def main(arguments: Sequence[str]) -> None:
    """Add what is missing to the file, which only its owner may read."""
    path = Path(arguments[0] if arguments else ".env")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    there = {line.partition("=")[0].strip() for line in text.splitlines() if "=" in line}
    missing = [name for name in GENERATED if name not in there]
    if text and not text.endswith("\n"):
        text += "\n"
    text += "".join(f"{name}={GENERATED[name]()}\n" for name in missing)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
    sys.stdout.write(f"{path}: {len(missing)} added, {len(there)} kept\n")


if __name__ == "__main__":
    main(sys.argv[1:])
