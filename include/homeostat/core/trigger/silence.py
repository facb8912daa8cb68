"""When the checks of a model count as stopped: one rule for pages, notices, doctor and Prometheus' alert."""

from __future__ import annotations

from datetime import timedelta

#: So many periods of ``monitor.every`` without a check ...
SILENT_AFTER_PERIODS = 3
#: ... and at least so long: Airflow may start the tasks of a busy machine minutes late, whatever the period.
LEAST_SILENCE = timedelta(minutes=10)


def silent_after(every: timedelta) -> timedelta:
    """Return how long after the last check the checks count as stopped.

    The alert ``HomeostatChecksStopped`` in infra/monitoring/alerts.yaml has the same two numbers.
    """
    return max(SILENT_AFTER_PERIODS * every, LEAST_SILENCE)
