"""How checked windows are shown in MLflow: name, tags and description of a day's run, names of metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from homeostat.core.trigger import WindowRecord

#: The series of a month's run.
_MONTH_SERIES = (
    *("rows", "drifted_share", "score", "score_baseline", "decay", "unlogged_labels"),
    *("trigger/fired", "trigger/windows_in_a_row"),
)
_WORST_FIRST = ("alert", "not_computable", "pending", "pass")
_THIS_DAY = "**Windows of the day:**"
_MAX_NAME, _MAX_LISTED = 250, 12
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


def verdict_of(record: WindowRecord) -> str:
    """Return a window's verdict: ``decay and drift``, ``decay of region=north``, ``no result``, ``ok``."""
    alerts = [
        word
        for word, verdict in (("decay", record.performance), ("drift", record.drift))
        if verdict == "alert"
    ]
    if record.performance != "alert" and record.decayed_slices:
        alerts.insert(0, f"decay of {next(iter(record.decayed_slices))}")
    return " and ".join(alerts) or ("no result" if record.drift == "not_computable" else "ok")


def day_name(records: Sequence[WindowRecord], metric: str) -> str:
    """Return the name of a day's run: its newest window, then the worst one, such as
    ``ok 0.76 accuracy, worst: decay and drift at 02:00, retrain requested at 02:00, 2026-03-02 05:00``.

    Parameters
    ----------
    records
        Those of the day, oldest first; at least one.
    metric
        The metric's name for people.
    """  # noqa: D205  # the example belongs to the sentence
    newest, worst = records[-1], max(records, key=_severity)
    verdict = verdict_of(newest)
    parts = [verdict if newest.score is None else f"{verdict} {newest.score:.3g} {metric}"]
    if newest.score is None and newest.performance == "pending":
        parts.append("labels pending")
    if _severity(worst) > _severity(newest):
        parts.append(f"worst: {verdict_of(worst)} at {_clock(worst)}")
    if fired := [record for record in records if record.fired]:
        parts.append("retrain requested" + ("" if fired[-1] == newest else f" at {_clock(fired[-1])}"))
    return ", ".join([*parts, f"{newest.window_end.astimezone(UTC):%Y-%m-%d %H:%M}"])[-_MAX_NAME:]


def day_tags(records: Sequence[WindowRecord]) -> dict[str, str]:
    """Return what MLflow shows as columns and can filter by: the worst verdicts, the newest window."""
    newest = records[-1]
    return {
        "homeostat.version": newest.version,
        "homeostat.drift": min((record.drift for record in records), key=_WORST_FIRST.index),
        "homeostat.performance": min((record.performance for record in records), key=_WORST_FIRST.index),
        "homeostat.fired": "yes" if any(record.fired for record in records) else "no",
        "homeostat.reason": newest.reason[:500],
        "homeostat.newest_window": newest.window_end.astimezone(UTC).isoformat(),
        "homeostat.windows": str(len(records)),
    }


def day_sentence(records: Sequence[WindowRecord]) -> str:
    """Return the line of a run's description about the whole day, in Markdown."""
    bad = [record for record in records if _severity(record) or record.fired]
    if not bad:
        return f"{_THIS_DAY} {len(records)} checked, all ok."
    shown = sorted(sorted(bad, key=_severity)[-_MAX_LISTED:], key=lambda record: record.window_end)
    listed = [
        f"{verdict_of(record)} at {_clock(record)}{' (retrain requested)' if record.fired else ''}"
        for record in shown
    ]
    more = f", and {len(bad) - len(shown)} more" if len(bad) > len(shown) else ""
    return f"{_THIS_DAY} {len(records)} checked; {', '.join(listed)}{more}."


def with_day(note: str, records: Sequence[WindowRecord]) -> str:
    """Return a description that describes its newest window already, with the line about the day renewed."""
    parts = [part for part in note.split("\n\n") if not part.startswith(_THIS_DAY)]
    return "\n\n".join([*parts[:1], day_sentence(records), *parts[1:]])


def drawn_figures(record: WindowRecord, artifacts: Mapping[str, bytes]) -> str:
    """Return which figures of a window are drawn, and of when: ``05:00 drift_over_time.png``; "" for none."""
    names = [name for name in _FIGURES if name in artifacts]
    return " ".join([_clock(record), *names]) if names else ""


def day_note(report: Mapping[str, Any], figures: str, run_id: str, month: str) -> str:
    """Return the description of a day's run in Markdown, of its newest window: links, sentences, figures.

    Parameters
    ----------
    figures
        The last that were drawn on this day, by :func:`drawn_figures`.
    month
        The address of the run of its month.
    """
    said = {
        "Decision": _part(report, "trigger").get("sentence"),
        "Inputs": _part(report, "drift").get("reason"),
        "Performance": _part(report, "performance").get("reason"),
        "Slices": _slices(_part(report, "slices")),
    }
    lines = [f"**{name}:** {' '.join(text.split())}" for name, text in said.items() if text]
    at, *names = figures.split() or [""]
    drawn = {
        f"{_FIGURES[name]}, {at}": f"get-artifact?path={name}&run_uuid={run_id}"
        for name in names
        if name in _FIGURES
    }
    links = [f"[all windows of the month]({month})"]
    links += [f"[{title}]({address})" for title, address in drawn.items()]
    pages = {"run in Airflow": report.get("airflow"), "model health": report.get("health")}
    links = [*(f"[{title}]({address})" for title, address in pages.items() if address), *links]
    images = [f"![{title}]({address})" for title, address in drawn.items()]
    return "\n\n".join([" | ".join(links), *lines, *images])


def metric_title(report: Mapping[str, Any]) -> str:
    """Return the metric's name for people in a window's report.json."""
    return str(_part(report, "performance").get("metric_title") or "score")


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


def month_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the series of a month's run: few and always the same, whatever the number of features."""
    return {name: metrics[name] for name in _MONTH_SERIES if name in metrics}


def _severity(record: WindowRecord) -> int:
    """Order windows by how bad their verdict is; 0 is ok."""
    decayed = bool(record.decayed_slices)
    alerts = 8 * (record.performance == "alert") + 4 * decayed + 2 * (record.drift == "alert")
    return alerts or int(record.drift == "not_computable")


def _clock(record: WindowRecord) -> str:
    return f"{record.window_end.astimezone(UTC):%H:%M}"


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
