"""The monitoring history in MLflow: experiment ``<model>/monitoring``, one run per day and one per month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from homeostat.adapters.mlflow_client import (
    NOTE,
    MlflowConnection,
    log_artifacts,
    log_metrics,
    log_tags,
    search_pages,
)
from homeostat.adapters.mlflow_days import (
    DAY,
    MONTH,
    create_run,
    day_of,
    first_run,
    millis,
    month_of,
    new_points,
    read_records,
    record_tag,
    runs_of,
    step_of,
)
from homeostat.adapters.mlflow_retention import free_runs, is_old
from homeostat.adapters.mlflow_windows import (
    day_name,
    day_note,
    day_tags,
    drawn_figures,
    metric_title,
    month_metrics,
    read_report,
    with_day,
    with_groups,
)
from homeostat.config.errors import NotFound
from homeostat.core.retention import Retention
from homeostat.core.trigger import WindowRecord

_TITLE = "homeostat.metric"  # the name of the score, for people
_FIGURES = "homeostat.figures"  # the last that were drawn, and when
_DELETED_ONLY = 2  # MLflow's ViewType, which is not imported at the start
_PAGE = 100  # runs of one answer: more than three months of days


class MlflowHistory:
    """Monitoring windows in MLflow: a run per UTC day of their ends, that a person can filter and compare.

    A window's metrics are points of its day's run, with the minute of its end as step. Its record is a tag,
    written last: an interrupted check has none, and the next check of the window completes it. Description
    and name are those of the day's newest window, figures the last drawn, so that a day does not grow with
    its windows.

    With ``backend_uri``, the address of MLflow's database, the space of deleted runs is freed.

    One more run per month has a few of the metrics of all its days: a line that does not end at midnight.
    """

    def __init__(self, mlflow: MlflowConnection | str, backend_uri: str = "") -> None:
        self._mlflow = MlflowConnection(mlflow) if isinstance(mlflow, str) else mlflow
        self._backend_uri = backend_uri
        self._deleted: set[str] = set()

    def record(
        self,
        model: str,
        record: WindowRecord,
        *,
        metrics: Mapping[str, float],
        artifacts: Mapping[str, bytes],
    ) -> str:
        """See :meth:`homeostat.ports.History.record`."""
        tag = record_tag(record)
        try:
            return self._record(self._experiment(model), record, tag, metrics, artifacts)
        except NotFound:
            # The experiment, or a run of it, was deleted after it was looked up.
            self._mlflow.forget_experiment(f"{model}/monitoring")
            return self._record(self._experiment(model), record, tag, metrics, artifacts)

    def windows(self, model: str, since: datetime | None = None) -> list[WindowRecord]:
        """See :meth:`homeostat.ports.History.windows`."""
        experiment = self._mlflow.find_experiment(f"{model}/monitoring")
        if experiment is None:
            return []
        query = "" if since is None else f"attributes.start_time >= {millis(day_of(since))}"
        with self._mlflow.operation(f"read the monitoring history of {model}") as client:
            runs = list(
                search_pages(
                    client.search_runs,
                    experiment_ids=[experiment],
                    filter_string=query,
                    max_results=_PAGE,
                    order_by=["attributes.start_time ASC"],
                )
            )
        found = read_records(runs)
        return [found[end] for end in sorted(found) if since is None or end >= since]

    def delete_old(self, model: str, retention: Retention, limit: int) -> int:
        """See :meth:`homeostat.ports.History.delete_old`; MLflow marks the runs as deleted."""
        experiment = self._mlflow.find_experiment(f"{model}/monitoring")
        if experiment is None:
            return 0
        query = {
            "experiment_ids": [experiment],
            "filter_string": f"attributes.start_time < {millis(retention.before)}",
            "max_results": _PAGE,
            "order_by": ["attributes.start_time ASC"],
        }
        with self._mlflow.operation(f"delete old monitoring of {model}") as client:
            found = (run for run in search_pages(client.search_runs, **query) if is_old(run, retention))
            old = [str(run.info.run_id) for run in islice(found, limit)]  # before any page changes
            for run_id in old:
                client.delete_run(run_id)
            if self._backend_uri:  # those that an earlier call did not free too
                marked = search_pages(client.search_runs, **query, run_view_type=_DELETED_ONLY)
                self._deleted |= {str(r.info.run_id) for r in islice(marked, limit) if is_old(r, retention)}
        return len(old)

    def free_deleted(self) -> int:
        """See :meth:`homeostat.ports.History.free_deleted`; 0 without HOMEOSTAT_MLFLOW_BACKEND_URI."""
        if not self._deleted:
            return 0
        freed = free_runs(sorted(self._deleted), self._mlflow.uri, self._backend_uri)
        self._deleted.clear()
        return freed

    def _experiment(self, model: str) -> str:
        note = (
            f"Monitoring of **{model}**, one run per day: drift per feature, output drift and, once labels "
            "have arrived, performance, each window a point over time. Sort by start time; compare runs to "
            "see what changed. The run of a month has the main metrics of all of its windows."
        )
        return self._mlflow.ensure_experiment(f"{model}/monitoring", note, {"homeostat.model": model})

    def _record(
        self,
        experiment: str,
        record: WindowRecord,
        tag: Mapping[str, str],
        metrics: Mapping[str, float],
        artifacts: Mapping[str, bytes],
    ) -> str:
        end = record.window_end.astimezone(UTC)
        shown = {"rows": record.rows, "drifted_share": record.drifted_share}
        shown |= {"score": record.score, "decay": record.decay}
        numbers = {name: float(value) for name, value in shown.items() if value is not None}
        numbers |= with_groups(metrics)
        with self._mlflow.operation(f"record the window of {end.isoformat()}") as client:
            runs = runs_of(client, experiment, DAY, day_of(end))
            run = first_run(runs) or create_run(client, experiment, DAY, day_of(end), {})
            run_id = str(run.info.run_id)
            records = _with(read_records(runs), record)
            month = _month_run(client, experiment, end)
            page = f"#/experiments/{experiment}/runs/{month.info.run_id}"
            if records[-1] is record:
                report = read_report(artifacts)
                log_artifacts(client, run_id, artifacts)
                figures = drawn_figures(record, artifacts) or run.data.tags.get(_FIGURES, "")
                title, note = metric_title(report), day_note(report, figures, run_id, page)
            else:  # the files and the description of a newer window stay
                figures = run.data.tags.get(_FIGURES, "")
                title, note = run.data.tags.get(_TITLE, "score"), run.data.tags.get(NOTE, "")
            for each, values in ((month, month_metrics(numbers)), (run, numbers)):
                for at, points in new_points(each, values, end).items():
                    log_metrics(client, each.info.run_id, points, at=at, step=step_of(end))
            client.update_run(run_id, name=day_name(records, title))
            tags = {**day_tags(records), _TITLE: title, NOTE: with_day(note, records), **tag}
            if figures:
                tags[_FIGURES] = figures
            log_tags(client, run_id, tags)
        return run_id


def _with(known: Mapping[datetime, WindowRecord], record: WindowRecord) -> Sequence[WindowRecord]:
    """Return the records of the day, oldest first, with the one that is written."""
    others = (each for each in known.values() if each.window_end != record.window_end)
    return sorted([*others, record], key=lambda each: each.window_end)


def _month_run(client: Any, experiment: str, end: datetime) -> Any:
    begin = month_of(end)
    note = "The main metrics of the month: see the tab *Model metrics*, and choose *Time* for the x-axis."
    known = first_run(runs_of(client, experiment, MONTH, begin))
    return known or create_run(client, experiment, MONTH, begin, {NOTE: note})
