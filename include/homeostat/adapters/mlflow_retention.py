"""Old monitoring runs of MLflow: which ones they are, and how their space is freed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from homeostat.adapters.mlflow_days import DAY, MONTH, OLD_TIMELINE, OLD_WINDOW_END, month_of
from homeostat.config.errors import Unavailable
from homeostat.config.redaction import redact_userinfo
from homeostat.core.retention import Retention

_PER_CALL = 500  # run ids on one command line
_TIMEOUT_S = 1800
# The address has a password: it is read from the environment, where other users do not see it.
_GC = """
import os, sys
from mlflow.cli import cli
cli(["gc", "--backend-store-uri", os.environ["HOMEOSTAT_MLFLOW_BACKEND_URI"], "--run-ids", sys.argv[1]])
"""


def is_old(run: Any, retention: Retention) -> bool:
    """Whether all that a monitoring run shows is old; never for a run that Homeostat did not make.

    A day stays as long as one of its windows does. The series of months and of *all windows*, of an earlier
    release, belong to no version.
    """
    tags = run.data.tags
    if DAY in tags:
        day = datetime.fromisoformat(tags[DAY]).replace(tzinfo=UTC)
        return retention.deletes_all(day, day + timedelta(days=1))
    if MONTH in tags:
        month = datetime.strptime(tags[MONTH], "%Y-%m").replace(tzinfo=UTC)
        return month_of(month + timedelta(days=32)) <= retention.before
    if OLD_WINDOW_END in tags:
        return retention.deletes(datetime.fromisoformat(tags[OLD_WINDOW_END]))
    if OLD_TIMELINE in tags:
        times = [metric.timestamp for metric in run.data.to_proto().metrics]
        newest = max(times, default=run.info.start_time)
        return datetime.fromtimestamp(newest / 1000, UTC) < retention.before
    return False


def free_runs(run_ids: Sequence[str], tracking_uri: str, backend_uri: str) -> int:
    """Delete runs that are marked as deleted from MLflow's database, with their files; return how many.

    Raises
    ------
    Unavailable
        ``mlflow gc`` failed: its last lines say why. The next call frees the rest.
    """
    env = {
        **os.environ,
        "MLFLOW_TRACKING_URI": tracking_uri,
        "HOMEOSTAT_MLFLOW_BACKEND_URI": backend_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    for first in range(0, len(run_ids), _PER_CALL):
        command = [sys.executable, "-c", _GC, ",".join(run_ids[first : first + _PER_CALL])]
        try:
            done = subprocess.run(  # noqa: S603  # our own command line, no shell
                command, env=env, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            msg = f"mlflow gc did not end within {_TIMEOUT_S} s; the next run frees the rest"
            raise Unavailable(msg) from None
        if done.returncode:
            detail = " ".join(done.stderr.strip().splitlines()[-3:]).replace(backend_uri, "the database")
            where = redact_userinfo(backend_uri)
            msg = f"mlflow gc of {where} failed: {detail}; check HOMEOSTAT_MLFLOW_BACKEND_URI"
            raise Unavailable(msg)
    return len(run_ids)
