"""The demo's report as a JSON file, or as one HTML page without scripts or external resources."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from homeostat.figures import accuracy_over_time
from homeostat.figures.html import render

#: What each part of the story is called, in its order.
PARTS = {
    "before_drift": "before the drift",
    "drifted": "drifted, until the promotion",
    "after": "after the first retrain",
    "changed": "concept changed, until the promotion",
    "healed": "after the second retrain",
}


def write_report(path: Path, summary: Mapping[str, Any], titles: Mapping[str, str]) -> None:
    """Write the report: HTML when the file's name ends in .html, else JSON.

    Parameters
    ----------
    titles
        The title of each stage by its name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".html":
        path.write_text(render_page(summary, titles), encoding="utf-8")
    else:
        path.write_text(json.dumps(summary, indent=1, default=str) + "\n", encoding="utf-8")


def render_page(summary: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Return the page: the stages, accuracy over time, and what the last rollout's checks saw."""
    windows = [
        (datetime.fromisoformat(window["end"]), window["accuracy"])
        for window in summary["windows"]
        if window["accuracy"] is not None
    ]
    events = [(datetime.fromisoformat(e["at"]), e["what"], e["harms"]) for e in summary["events"]]
    heal: Mapping[str, Any] = next(
        (stage["detail"] for stage in summary["stages"] if stage["name"] == "heal"), {}
    )
    return render(
        "homeostat.demo",
        "report.html",
        model=summary["model"],
        ok=summary["ok"],
        stages=[{**stage, "title": titles[stage["name"]]} for stage in summary["stages"]],
        seconds=sum(stage["seconds"] for stage in summary["stages"]),
        accuracy=[
            (name, summary["accuracy"][part])
            for part, name in PARTS.items()
            if summary["accuracy"].get(part) is not None
        ],
        disagreement=heal.get("disagreement"),
        pairs=heal.get("labelled_pairs"),
        chart=base64.b64encode(accuracy_over_time(windows, events)).decode() if windows else "",
        requests=summary["requests"],
        versions=[
            {
                "version": version["version"],
                "gate": version["tags"].get("homeostat.gate", ""),
                "phase": version["tags"].get("homeostat.phase", "").replace("_", " "),
                "reason": version["tags"].get("homeostat.reason", "").replace("_", " "),
            }
            for version in summary["versions"]
        ],
    )
