"""``python -m homeostat.dev_stack.prepare_airflow FILE``: Airflow's database at its newest form, and filled.

Migrates the metadata database and loads connections, pools and variables from ``airflow_settings.yaml``, in
one process because every start of Airflow's command line costs seconds. Doing it twice changes nothing: a
connection or variable that exists stays as its owner left it, a pool gets the size that the file says. The
local runner and docker-compose.yml both call this.
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
    """Migrate the database, then import what the file holds."""
    settings = read_airflow_settings(Path(arguments[0]) if arguments else Path("airflow_settings.yaml"))
    _write_ahead_log(os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", ""))
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
    """Let SQLite's readers and its writer work at the same time; kept in the file once set."""
    if url.startswith("sqlite:///"):
        with sqlite3.connect(url.removeprefix("sqlite:///").partition("?")[0]) as database:
            database.execute("PRAGMA journal_mode=WAL")


if __name__ == "__main__":
    main(sys.argv[1:])
