"""The window of a drift check, added up from profiles of its steps.

Each step is counted once and its profile kept in the Store, so that a check costs what its new rows cost,
however long the window is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound
from homeostat.drift import DriftReport, SchemaFinding, compare, schema_check
from homeostat.flows import log
from homeostat.flows.batch import score_in_batch
from homeostat.ports import Ports
from homeostat.profile import Profile, Reference, count
from homeostat.rollout import VersionRef


@dataclass(frozen=True, slots=True)
class Looked:
    """What a check holds the window against, and where its rows lie."""

    config: ModelConfig
    ports: Ports
    champion: VersionRef
    reference: Reference


class Window:
    """The window's profiles: over all served rows, and over the champion's answers only."""

    def __init__(self, looked: Looked, start: datetime, end: datetime) -> None:
        self.rows = Profile.empty(looked.reference.frames)
        self.answers = Profile.empty(looked.reference.frames)
        self.findings: dict[tuple[str, str], SchemaFinding] = {}
        self.torn: list[str] = []
        if looked.config.serve == "none":
            self._add_batch(looked, start, end)
            return
        step_end = end
        while step_end > start:
            step = max(start, step_end - looked.config.monitor.every)
            self._add_served(looked, step, step_end)
            step_end = step

    def _add_batch(self, looked: Looked, start: datetime, end: datetime) -> None:
        """Rows that no gateway has seen: out of the source, answered by the champion here and now."""
        rows = score_in_batch(looked.config, looked.ports, looked.champion, start, end, label=False)
        self._sum(*_count(looked, rows), _findings(looked.config, rows))

    def _add_served(self, looked: Looked, start: datetime, end: datetime) -> None:
        """Add one step's counts; they are kept under the names of the files that they come from."""
        model, store, frames = looked.config.name, looked.ports.store, looked.reference.frames
        files = log.files_between(store, model, "predictions", start, end)
        if not files:
            return
        named = (looked.champion.version, end.isoformat(), *files)
        source = hashlib.sha256("\n".join(named).encode()).hexdigest()[:16]
        name = f"profiles/{model}/{frames.digest[:16]}/{start:%Y-%m-%dT%H%M%S}-{source}"
        try:
            notes = json.loads(store.get(f"{name}.json"))
            rows = Profile.from_bytes(store.get(f"{name}-rows.bin"), frames)
            answers = Profile.from_bytes(store.get(f"{name}-answers.bin"), frames)
        except NotFound:
            read = log.read_predictions(store, looked.config, start, end, files=files)
            rows, answers = _count(looked, read.rows)
            notes = {"findings": _findings(looked.config, read.rows), "torn": list(read.torn)}
            store.put(f"{name}-rows.bin", rows.to_bytes(), overwrite=True)
            store.put(f"{name}-answers.bin", answers.to_bytes(), overwrite=True)
            store.put(f"{name}.json", json.dumps(notes).encode(), overwrite=True)
        self._sum(rows, answers, notes["findings"])
        self.torn += notes["torn"]

    def _sum(self, rows: Profile, answers: Profile, findings: Iterable[Mapping[str, Any]]) -> None:
        self.rows += rows
        self.answers += answers
        for finding in (SchemaFinding(**found) for found in findings):
            self.findings[finding.column, finding.kind] = finding


def _count(looked: Looked, rows: pd.DataFrame) -> tuple[Profile, Profile]:
    """Counts over all served rows, and over those that the champion's version answered."""
    frames = looked.reference.frames
    frame = rows[list(looked.config.feature_names)].copy()
    frame["prediction"] = rows["_prediction"]
    frame["confidence"] = rows["_confidence"]
    mine = (rows["_version"] == looked.champion.version).to_numpy()
    everything = count(frames, frame)
    return everything, everything if mine.all() else count(frames, frame[mine])


def _findings(config: ModelConfig, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Where the step's rows break the contract; columns that nobody knows were noted by the gateway."""
    extra = {name for text in rows["_extra"].dropna().unique() for name in text.split(",") if name}
    frame = rows[list(config.feature_names)].assign(**dict.fromkeys(sorted(extra)))
    return [asdict(finding) for finding in schema_check(frame, config)] if len(rows) else []


def drift_report(looked: Looked, window: Window) -> DriftReport:
    """Inputs over all rows, answers over the champion's own."""
    rows = compare(looked.reference.profile, window.rows, looked.config.monitor)
    answers = compare(looked.reference.profile, window.answers, looked.config.monitor)
    # What the steps' own rows showed, and what only the whole window shows beside the reference.
    whole = {(finding.column, finding.kind): finding for finding in rows.schema}
    return rows.with_outputs(answers.outputs).with_schema((window.findings | whole).values())


def window_start(config: ModelConfig, facts: Mapping[str, Any], end: datetime) -> datetime:
    """The window's start; never before the champion's own data end, which it knows already.

    Otherwise a version that learnt a new world would be told for a whole window's length that the old
    one looks different.
    """
    start = end - config.monitor.window
    known = facts.get("trained_until")
    return max(start, datetime.fromisoformat(known)) if known else start
