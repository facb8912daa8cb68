"""``make env``: generate the secrets for docker-compose.yml into ``.env``, which git ignores.

Existing values are kept; missing ones are added. The revision of the checkout, which training records with a
version, is written anew each time. Uses the standard library only.
"""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

import base64
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def _password() -> str:
    # Letters and digits only: it is used in URLs and shell commands without quoting.
    return secrets.token_urlsafe(24).replace("-", "x").replace("_", "y")


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


GENERATED: dict[str, Callable[[], str]] = {
    "POSTGRES_PASSWORD": _password,
    "AIRFLOW_DB_PASSWORD": _password,
    "MLFLOW_DB_PASSWORD": _password,
    "LEDGER_DB_PASSWORD": _password,
    "AIRFLOW_FERNET_KEY": _fernet_key,
    "AIRFLOW_JWT_SECRET": lambda: secrets.token_urlsafe(64),
    "AIRFLOW_API_SECRET_KEY": lambda: secrets.token_urlsafe(32),
    "AIRFLOW_ADMIN_PASSWORD": _password,
    "HOMEOSTAT_CONTROL_TOKEN": _password,
    "AWS_ACCESS_KEY_ID": _password,
    "AWS_SECRET_ACCESS_KEY": _password,
}


REVISION = "HOMEOSTAT_GIT_REVISION"


def _revision() -> str:
    """Return the commit of this checkout, with ``-dirty`` when files differ from it; empty without git."""
    root = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603  # fixed
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()


def main(arguments: Sequence[str]) -> None:
    """Add missing values to the file, which only its owner can read."""
    path = Path(arguments[0] if arguments else ".env")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    existing = {line.partition("=")[0].strip() for line in text.splitlines() if "=" in line}
    missing = [name for name in GENERATED if name not in existing]
    if text and not text.endswith("\n"):
        text += "\n"
    text += "".join(f"{name}={GENERATED[name]()}\n" for name in missing)
    if revision := _revision():
        text += "" if REVISION in existing else f"{REVISION}=\n"
        text = re.sub(rf"^{REVISION}=.*$", f"{REVISION}={revision}", text, flags=re.MULTILINE)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
    sys.stdout.write(f"{path}: {len(missing)} added, {len(existing)} kept\n")


if __name__ == "__main__":
    main(sys.argv[1:])
