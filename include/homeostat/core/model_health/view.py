"""The health of one model, and one line of it for the fleet: plain JSON from the record, without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

from homeostat.core.model_health.findings import findings
from homeostat.core.model_health.record import ModelFacts, ModelPast, RegisteredVersion
from homeostat.core.model_health.score_text import describe_score, score_json
from homeostat.core.model_health.series import bands, heat_map, metric_of, series, slice_map
from homeostat.core.model_health.states import LEVELS, ORDER, Finding
from homeostat.core.model_health.timeline import Mark, timeline
from homeostat.core.model_health.upcoming import upcoming
from homeostat.core.run_ids import airflow_run

#: How far back each range looks; None for everything.
RANGES: Mapping[str, timedelta | None] = {
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
    "all": None,
}
DEFAULT_RANGE = "30d"
#: The page shows at most so many windows; of more, the worst in each part of the range.
MAX_WINDOWS = 400
#: The settings that charts draw as limits.
_LIMITS = ("monitor.drifted_share", "rollback.p99_latency_ms")
#: So many of the last marks are listed under what was done.
_DONE = 4
#: Kinds of marks by which another version became champion.
_CHANGES = ("promoted", "rolled_back")


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of the other services as a browser reaches them; "" where one is not configured."""

    airflow: str = ""
    mlflow: str = ""
    gateway: str = ""

    def of(self, model: str, prefix: str = "") -> dict[str, str]:
        """Return the pages of a model, by service; ``prefix`` begins the ids of its DAGs."""
        name, before = quote(model, safe=""), quote(prefix, safe="")
        found = {}
        if self.airflow:
            found["drift_check"] = f"{self.airflow}/dags/{before}drift_check__{name}"
            found["retrain"] = f"{self.airflow}/dags/{before}retrain__{name}"
            found["airflow"] = f"{self.airflow}/homeostat/health?model={name}"
        if self.mlflow:
            found["versions"] = f"{self.mlflow}/#/models/{name}"
        if self.gateway:
            found["gateway"] = f"{self.gateway}/fleet?model={name}"
        return found

    def run(self, model: str, dag_run: str, page: str) -> str:
        """Return the page of a run in Airflow: its recorded path, or of an older record that of its retrain.

        "" for a run that is not Airflow's.
        """
        if self.airflow and page:
            return f"{self.airflow}{page}"
        if not self.airflow or not airflow_run(dag_run):
            return ""
        return f"{self.airflow}/dags/retrain__{quote(model, safe='')}/runs/{quote(dag_run, safe='')}"


def fleet_row(facts: ModelFacts) -> dict[str, Any]:
    """Return one line about a model."""
    worst, *others = findings(facts)
    newest, traffic = facts.newest, facts.traffic
    report = newest.performance if newest else None
    active = traffic.active
    return {
        "model": facts.name,
        **_state(worst),
        "also": [str(finding.state) for finding in others],
        "left": worst.left,
        "champion": traffic.champion.version if traffic.champion else None,
        "candidate": active.candidate.version if active else None,
        "phase": active.stage_name if active else None,
        "metric": (report.metric_title or report.metric) if report else None,
        "score": report.score if report else None,
        "newest_score": newest.record.score if newest else None,
        "score_text": describe_score(report, newest.record.score) if newest and report else "",
        "baseline": report.baseline if report else None,
        "drifted_share": newest.record.drifted_share if newest else None,
        "rows": newest.record.rows if newest else None,
        "window_end": newest.record.window_end.isoformat() if newest else None,
        "checked_at": newest.checked_at.isoformat() if newest else None,
    }


def fleet(models: Iterable[ModelFacts]) -> list[dict[str, Any]]:
    """Return one row per model, the worst first; of the same state, the one that has lasted longest."""
    rows = [fleet_row(facts) for facts in models]
    return sorted(rows, key=lambda row: (row["rank"], row["since"] or "9", row["model"]))


def model_view(
    facts: ModelFacts, past: ModelPast, links: Links, *, range_name: str = DEFAULT_RANGE
) -> dict[str, Any]:
    """Return everything that the page of a model shows, as plain JSON; times are ISO 8601."""
    worst, *others = findings(facts)
    marks, newest, traffic = timeline(facts.name, past), facts.newest, facts.traffic
    settings = newest.settings if newest else {}
    decided = dict.fromkeys(name for finding in (worst, *others) for name in finding.settings)
    return {
        "model": facts.name,
        "now": facts.now.isoformat(),
        "range": range_name,
        "state": _state(worst) | {"why": list(worst.why)},
        "also": [_state(finding) | {"why": list(finding.why)} for finding in others],
        "decision": newest.sentence if newest else "",
        "score": score_json(newest.performance, newest.record.score) if newest else None,
        "done": [_mark(facts.name, mark, links) for mark in _since(marks, worst.since)],
        "left": list(dict.fromkeys(f.left for f in (worst, *others) if f.left)),
        "next": [each.to_json() for each in upcoming(facts)],
        "settings": {name: settings[name] for name in decided if name in settings},
        "limits": {name: settings[name] for name in _LIMITS if name in settings},
        "served": facts.served.to_json() if facts.served else None,
        "champion": traffic.champion.version if traffic.champion else None,
        "previous": traffic.previous.version if traffic.previous else None,
        "candidate": traffic.active.candidate.version if traffic.active else None,
        "phase": traffic.active.stage_name if traffic.active else None,
        "share": traffic.active.share if traffic.active else 0.0,
        "metric": metric_of(past.windows),
        "series": series(past.windows),
        "bands": [band.to_json() for band in bands(past.windows)],
        "marks": [_mark(facts.name, mark, links) for mark in marks],
        "heat_map": heat_map(past.windows),
        "slices": slice_map(past.windows),
        "versions": [_version(facts.name, version, links) for version in past.versions],
        "windows": {"shown": len(past.windows), "checked": past.checked},
        "links": links.of(facts.name, _dag_prefix(facts)),
    }


def _state(finding: Finding) -> dict[str, Any]:
    return {
        "state": str(finding.state),
        "level": str(LEVELS[finding.state]),
        "rank": ORDER.index(finding.state),
        "sentence": finding.sentence,
        "since": finding.since.isoformat() if finding.since else None,
    }


def _dag_prefix(facts: ModelFacts) -> str:
    """Return what begins the ids of the model's DAGs, from the last recorded run; "" where none is known."""
    pages = {"drift_check": facts.newest, "retrain": facts.retrain}
    for kind, found in pages.items():
        dag = unquote(found.airflow_page).partition("/dags/")[2].partition("/")[0] if found else ""
        if dag.endswith(name := f"{kind}__{facts.name}"):
            return dag.removesuffix(name)
    return ""


def _since(marks: Sequence[Mark], since: datetime | None) -> list[Mark]:
    """Return what was done since the state began, the newest first; at least the last thing.

    How the version that serves became champion belongs to it, however long ago: by whom, and why.
    """
    newest = list(reversed(marks))
    during = [mark for mark in newest if since is None or mark.at >= since]
    shown = (during or newest[:1])[:_DONE]
    change = next((mark for mark in newest if mark.kind in _CHANGES), None)
    return shown if change is None or change in shown else [*shown, change]


def _mark(model: str, mark: Mark, links: Links) -> dict[str, Any]:
    return mark.to_json() | {"run": links.run(model, mark.dag_run, mark.airflow_page)}


def _version(model: str, version: RegisteredVersion, links: Links) -> dict[str, Any]:
    return {
        "version": version.version,
        "at": version.at.isoformat(),
        "trained_until": version.trained_until or None,
        "reason": version.reason,
        "holdout_rows": version.rows,
        "metrics": dict(version.metrics),
        "slices": [
            {"name": name, "score": found.get("score"), "rows": found.get("rows")}
            for name, found in version.slices.items()
        ],
        "url": version.url,
        "training_url": version.run_url,
        "run": links.run(model, version.dag_run, version.airflow_page),
    }
