"""The monitoring history in MLflow: experiment ``<model>/monitoring``, one run per window end."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from homeostat.adapters.mlflow_client import (
    NOTE,
    MlflowConnection,
    log_artifacts,
    log_metrics,
    log_tags,
    quoted,
    safe_name,
    search_pages,
)
from homeostat.adapters.mlflow_windows import (
    read_report,
    timeline_metrics,
    window_name,
    window_note,
    with_groups,
)
from homeostat.config.errors import NotFound
from homeostat.core.trigger import WindowRecord

WINDOW_END, RECORD, TIMELINE = "homeostat.window_end", "homeostat.record", "homeostat.timeline"
_PAGE = 500
_MINUTE = 60_000  # in milliseconds: the step of a window is the minute of its end


class MlflowHistory:
    """Monitoring windows as MLflow runs that a person can filter, sort and compare.

    A run starts and ends at its window's end, so that the UI sorts by window even when an old window is
    checked again. The record is a tag written last: an interrupted run has none and is ignored, and the next
    check of the window completes it.

    One more run, *all windows*, has the metrics of every window as series over time, which MLflow's own
    charts draw. A window that is checked again adds its new values to it.
    """

    def __init__(self, mlflow: MlflowConnection | str) -> None:
        self._mlflow = MlflowConnection(mlflow) if isinstance(mlflow, str) else mlflow
        self._timelines: dict[str, str] = {}

    def record(
        self,
        model: str,
        record: WindowRecord,
        *,
        metrics: Mapping[str, float],
        artifacts: Mapping[str, bytes],
    ) -> str:
        """See :meth:`homeostat.ports.History.record`."""
        raw = json.dumps(record.to_json(), allow_nan=False)
        name = f"{model}/monitoring"
        try:
            return self._record(self._experiment(model), record, raw, metrics, artifacts)
        except NotFound:
            # The experiment was deleted after it was looked up.
            self._mlflow.forget_experiment(name)
            self._timelines.clear()
            return self._record(self._experiment(model), record, raw, metrics, artifacts)

    def windows(self, model: str, since: datetime | None = None) -> list[WindowRecord]:
        """See :meth:`homeostat.ports.History.windows`."""
        experiment = self._mlflow.find_experiment(f"{model}/monitoring")
        if experiment is None:
            return []
        query = f"tags.`{RECORD}` != ''"
        if since is not None:
            query += f" and attributes.start_time >= {_millis(since)}"
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
        found: dict[datetime, WindowRecord] = {}
        for run in runs:
            record = WindowRecord.from_json(json.loads(run.data.tags[RECORD]))
            if since is None or record.window_end >= since:
                found[record.window_end] = record
        return [found[end] for end in sorted(found)]

    def _experiment(self, model: str) -> str:
        note = (
            f"Monitoring of **{model}**, one run per window: drift per feature, output drift and, once "
            "labels have arrived, performance. Sort by start time; compare runs to see what changed. The run "
            "*all windows* has every metric over time."
        )
        return self._mlflow.ensure_experiment(f"{model}/monitoring", note, {"homeostat.model": model})

    def _record(
        self,
        experiment: str,
        record: WindowRecord,
        raw: str,
        metrics: Mapping[str, float],
        artifacts: Mapping[str, bytes],
    ) -> str:
        end = record.window_end.astimezone(UTC)
        shown = {"rows": record.rows, "drifted_share": record.drifted_share}
        shown |= {"score": record.score, "decay": record.decay}
        numbers = {name: float(value) for name, value in shown.items() if value is not None}
        numbers |= with_groups(metrics)
        report = read_report(artifacts)
        with self._mlflow.operation(f"record the window of {end.isoformat()}") as client:
            run_id, logged = self._run(client, experiment, end)
            log_artifacts(client, run_id, artifacts)
            timeline = self._timeline(client, experiment)
            at = _millis(end)
            # MLflow cannot replace a point of a series: a second check adds only what the first did not have.
            # Before the window's own run: after a crash between the two, the same points are logged again.
            known = [name for name in numbers if safe_name(name) in logged]
            series = timeline_metrics(numbers, known=known)
            log_metrics(client, timeline, series, at=at, step=at // _MINUTE)
            log_metrics(client, run_id, numbers)
            client.update_run(run_id, name=window_name(record, report))
            note = window_note(report, artifacts, run_id, f"#/experiments/{experiment}/runs/{timeline}")
            log_tags(client, run_id, _readable(record) | {NOTE: note, RECORD: raw})
        return run_id

    def _timeline(self, client: Any, experiment: str) -> str:
        """Return the run that has the metrics of all windows as series; create it if needed."""
        if experiment not in self._timelines:
            oldest = ["attributes.start_time ASC"]
            query = f"tags.`{TIMELINE}` = 'yes'"
            found = client.search_runs([experiment], query, max_results=1, order_by=oldest)
            self._timelines[experiment] = found[0].info.run_id if found else _new_timeline(client, experiment)
        return self._timelines[experiment]

    @staticmethod
    def _run(client: Any, experiment: str, end: datetime) -> tuple[str, Collection[str]]:
        """Return the run of the window, created if needed, and its metrics of an earlier check."""
        query = f"tags.`{WINDOW_END}` = {quoted(end.isoformat())}"
        found = client.search_runs([experiment], query, max_results=1, order_by=["attributes.start_time ASC"])
        if found:
            return str(found[0].info.run_id), frozenset(found[0].data.metrics)
        at = _millis(end)
        name = f"{end:%Y-%m-%d %H:%M}"  # until its verdict is known
        run = client.create_run(experiment, start_time=at, tags={WINDOW_END: end.isoformat()}, run_name=name)
        client.set_terminated(run.info.run_id, "FINISHED", end_time=at)
        return str(run.info.run_id), frozenset()


def _new_timeline(client: Any, experiment: str) -> str:
    note = "Every window's metrics over time: see the tab *Model metrics*, and choose *Time* for the x-axis."
    run = client.create_run(experiment, tags={TIMELINE: "yes", NOTE: note}, run_name="all windows")
    client.set_terminated(run.info.run_id, "FINISHED")
    return str(run.info.run_id)


def _readable(record: WindowRecord) -> dict[str, str]:
    """Return the main results as tags, which MLflow's UI shows as columns and can filter by."""
    return {
        "homeostat.version": record.version,
        "homeostat.drift": record.drift,
        "homeostat.performance": record.performance,
        "homeostat.fired": "yes" if record.fired else "no",
        "homeostat.reason": record.reason[:500],
    }


def _millis(at: datetime) -> int:
    return int(at.timestamp() * 1000)
