"""How a checked window is shown in MLflow: its run's name and description, and the names of its metrics."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC
from typing import Any

from homeostat.core.trigger import WindowRecord

#: Features whose effect is a series of the run *all windows*; the first by name, so that they stay the same.
MAX_SERIES = 50
_FIGURES = {
    "reference_against_window.png": "reference against window",
    "drift_over_time.png": "drift over time",
}
# Names that a Lambda function of an earlier release writes.
_OLD_GROUPS = {"effect.": "effect/", "psi.": "psi/"}
_OLD_NAMES = ("unlearned_windows", "expected_gain", "ageing_z", "probes", "fired", "windows_in_a_row")


def read_report(artifacts: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the content of report.json among a window's artifacts; {} without a readable one."""
    try:
        found = json.loads(artifacts.get("report.json", b"{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def window_name(record: WindowRecord, report: Mapping[str, Any]) -> str:
    """Return the run's name: ``decay and drift 0.46 accuracy, retrain requested, 2026-03-02 05:00``."""
    alerts = [
        word
        for word, verdict in (("decay", record.performance), ("drift", record.drift))
        if verdict == "alert"
    ]
    if record.performance != "alert" and record.decayed_slices:
        alerts.insert(0, f"decay of {next(iter(record.decayed_slices))}")
    verdict = " and ".join(alerts) or ("no result" if record.drift == "not_computable" else "ok")
    metric = _part(report, "performance").get("metric_title") or "score"
    parts = [verdict if record.score is None else f"{verdict} {record.score:.3g} {metric}"]
    if record.score is None and record.performance == "pending":
        parts.append("labels pending")
    if record.fired:
        parts.append("retrain requested")
    return ", ".join([*parts, f"{record.window_end.astimezone(UTC):%Y-%m-%d %H:%M}"])


def window_note(report: Mapping[str, Any], artifacts: Mapping[str, bytes], run_id: str, timeline: str) -> str:
    """Return the run's description in Markdown: what was decided and why, links, and the figures."""
    said = {
        "Decision": _part(report, "trigger").get("sentence"),
        "Inputs": _part(report, "drift").get("reason"),
        "Performance": _part(report, "performance").get("reason"),
        "Slices": _slices(_part(report, "slices")),
    }
    lines = [f"**{name}:** {' '.join(text.split())}" for name, text in said.items() if text]
    figures = {
        title: f"get-artifact?path={name}&run_uuid={run_id}"
        for name, title in _FIGURES.items()
        if name in artifacts
    }
    links = [f"[all windows]({timeline})", *(f"[{title}]({address})" for title, address in figures.items())]
    pages = {"run in Airflow": report.get("airflow"), "model health": report.get("health")}
    links = [*(f"[{title}]({address})" for title, address in pages.items() if address), *links]
    images = [f"![{title}]({address})" for title, address in figures.items()]
    return "\n\n".join([" | ".join(links), *lines, *images])


def with_groups(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics with the group names of today."""
    found = {}
    for name, value in metrics.items():
        old = next((prefix for prefix in _OLD_GROUPS if name.startswith(prefix)), None)
        if name in _OLD_NAMES:
            found[f"trigger/{name}"] = value
        else:
            found[f"{_OLD_GROUPS[old]}{name.removeprefix(old)}" if old else name] = value
    return found


def timeline_metrics(metrics: Mapping[str, float], *, known: Collection[str] = ()) -> dict[str, float]:
    """Return the series of the run *all windows*: without PSI, and with the effects of at most 50 features.

    Those of ``known``, which an earlier check of the window has logged, are left out.

    MLflow shows the charts by group, sorted by name, and those without a group last: what matters is in
    ``health``, the effects are in ``input drift``, the scores of slices in ``slices``.
    """
    effects = sorted(name for name in metrics if name.startswith("effect/"))[:MAX_SERIES]
    metrics = {name: value for name, value in metrics.items() if name not in known}
    main = {name: value for name, value in metrics.items() if "/" not in name}
    return {
        **{f"health/{name}": value for name, value in main.items()},
        **{
            f"input drift/{name.removeprefix('effect/')}": metrics[name]
            for name in effects
            if name in metrics
        },
        **{
            f"slices/{name.removeprefix('slice/')}": value
            for name, value in metrics.items()
            if name.startswith("slice/")
        },
        **{name: value for name, value in metrics.items() if name.startswith("trigger/")},
    }


def _slices(report: Mapping[str, Any]) -> str:
    """Return the slices that have become worse, in Markdown; else what is not compared."""
    worse = [
        f"`{each['name']}`: {each['performance']['reason']}"
        for each in report.get("results") or ()
        if each["performance"]["verdict"] == "alert"
    ]
    return "; ".join(worse) or str(report.get("reason") or "")


def _part(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = report.get(name)
    return found if isinstance(found, dict) else {}
