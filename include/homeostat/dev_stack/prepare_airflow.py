"""``python -m homeostat.dev_stack.prepare_airflow FILE``: migrate Airflow's database and import settings.

Migrates the metadata database and loads connections, pools and variables from ``airflow_settings.yaml``, in
one process because each start of Airflow's command line takes seconds. Idempotent: existing connections and
variables are not changed, a pool gets the size in the file. The development stack and docker-compose.yml both
call this.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from homeostat.dev_stack.airflow_settings import read_airflow_settings


def main(arguments: Sequence[str]) -> None:
    """Wait for the database, which may be starting as well; migrate it, then import the file."""
    settings = read_airflow_settings(Path(arguments[0]) if arguments else Path("airflow_settings.yaml"))
    _write_ahead_log(os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", ""))
    _airflow("db", "check", "--retry", "20", "--retry-delay", "3")
    _airflow("db", "migrate")
    with tempfile.TemporaryDirectory() as folder:
        for kind, options in (
            ("connections", ()),
            ("pools", ()),
            ("variables", ("--action-on-existing-key", "skip")),
        ):
            if settings[kind]:
                file = Path(folder) / f"{kind}.json"
                file.write_text(json.dumps(settings[kind]), encoding="utf-8")
                _airflow(kind, "import", str(file), *options)


def _airflow(*command: str) -> None:
    from airflow.cli.cli_parser import get_parser

    parsed = get_parser().parse_args(list(command))
    parsed.func(parsed)


def _write_ahead_log(url: str) -> None:
    """Let SQLite's readers work while it writes; the file keeps the setting."""
    if url.startswith("sqlite:///"):
        with sqlite3.connect(url.removeprefix("sqlite:///").partition("?")[0]) as database:
            database.execute("PRAGMA journal_mode=WAL")


if __name__ == "__main__":
    main(sys.argv[1:])
