"""Shared by the DAG files: schedule, retries, and the DAG that shows a model.yaml error."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param

from homeostat.config.check_times import cron_expression

logger = logging.getLogger(__name__)

START = datetime(2024, 1, 1, tzinfo=UTC)
#: Retries for temporary errors; :mod:`homeostat_airflow.operators` fails at once on permanent ones.
RETRIES: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 2.0,  # the multiplier; True counts as 1, which is no backoff at all
    "max_retry_delay": timedelta(minutes=10),
}


def error_dag(prefix: str, folder: str, problem: str, *, tags: Sequence[str] = ()) -> DAG:
    """Return a DAG without tasks whose page shows the error in a model.yaml."""
    logger.error("%s", problem)
    name = re.sub(r"[^\w.-]", "_", folder)
    return DAG(
        f"{prefix}__{name}",
        description="model.yaml cannot be read",
        doc_md=f"## This model is not running\n\n```\n{problem}\n```",
        schedule=None,
        start_date=START,
        tags=[*tags, "broken"],
    )


def schedule(every: timedelta, delay: timedelta = timedelta(0)) -> str | timedelta:
    """Return a cron expression when the period divides an hour, a day or a week; otherwise the period."""
    return cron_expression(every, delay) or every


def with_params(dag: DAG, params: Mapping[str, Param]) -> DAG:
    """Add the form of a DAG whose tasks are there already.

    Given to the DAG first, Airflow would validate it anew for each model, and every task would get a copy of
    its own: half of the time that a DAG takes.
    """
    for name, param in params.items():
        dag.params[name] = copy.copy(param)
    return dag
