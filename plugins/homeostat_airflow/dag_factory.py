"""Shared by the DAG files: schedule, retries, and the DAG that shows a model.yaml error."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG

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


def schedule(every: timedelta) -> str | timedelta:
    """Return a cron expression when the period divides an hour, a day or a week; otherwise the period."""
    minutes, rest = divmod(every, timedelta(minutes=1))
    if rest:
        return every
    if minutes < 60 and 60 % minutes == 0:
        return f"*/{minutes} * * * *"
    hours, rest_minutes = divmod(minutes, 60)
    if rest_minutes:
        return every
    if hours < 24 and 24 % hours == 0:
        return f"0 */{hours} * * *"
    return {24: "0 0 * * *", 168: "0 0 * * 1"}.get(hours, every)
