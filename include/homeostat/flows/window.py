"""The window of a drift check, added up from profiles of its steps.

Each step is counted once and its profile kept in the Store, so that a check costs what its new rows cost,
however long the window is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound
from homeostat.drift import DriftReport, SchemaFinding, compare, schema_check
from homeostat.flows import log
from homeostat.flows.batch import score_in_batch
from homeostat.ports import Ports
from homeostat.profile import Profile, Reference, Season, count, tally
from homeostat.rollout import VersionRef


@dataclass(frozen=True, slots=True)
class Looked:
    """What a check holds the window against, and where its rows lie."""

    config: ModelConfig
    ports: Ports
    champion: VersionRef
    reference: Reference


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows as a profile and, where the reference has a season, how many lie in each of its slots."""

    profile: Profile
    per_slot: np.ndarray

    def __add__(self, other: Part) -> Part:
        return Part(self.profile + other.profile, self.per_slot + other.per_slot)


class Window:
    """The window's profiles: over all served rows, and over the champion's answers only.

    Rows of hours that the reference's season has never seen are left out of both, as there is nothing to
    hold them against; ``strange`` says how many.
    """

    def __init__(self, looked: Looked, start: datetime, end: datetime) -> None:
        season = season_of(looked)
        slots = 0 if season is None else len(season.rows)
        nothing = Part(Profile.empty(looked.reference.frames), np.zeros(slots, np.int64))
        self._rows = self._answers = nothing
        self.strange = 0
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

    @property
    def rows(self) -> Profile:
        """All rows, with the champion's answers and, during a canary, the candidate's."""
        return self._rows.profile

    @property
    def answers(self) -> Profile:
        """Those that the champion answered."""
        return self._answers.profile

    @property
    def per_slot(self) -> np.ndarray:
        """All rows by slot of the season; without one, shape (0,)."""
        return self._rows.per_slot

    @property
    def answers_per_slot(self) -> np.ndarray:
        """Those that the champion answered, by slot of the season."""
        return self._answers.per_slot

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
        season = season_of(looked)
        named = (
            looked.champion.version,
            end.isoformat(),
            *files,
            *([] if season is None else [_mark(season)]),
        )
        source = hashlib.sha256("\n".join(named).encode()).hexdigest()[:16]
        name = f"profiles/{model}/{frames.digest[:16]}/{start:%Y-%m-%dT%H%M%S}-{source}"
        try:
            notes = json.loads(store.get(f"{name}.json"))
            rows, answers = (
                Part(
                    Profile.from_bytes(store.get(f"{name}-{part}.bin"), frames),
                    np.array(notes.get("per_slot", {}).get(part, []), np.int64),
                )
                for part in ("rows", "answers")
            )
            strange = notes.get("strange", 0)
        except NotFound:
            read = log.read_predictions(store, looked.config, start, end, files=files)
            rows, answers, strange = _count(looked, read.rows)
            notes = {"findings": _findings(looked.config, read.rows), "torn": list(read.torn)}
            if season is not None:
                by_part = {"rows": rows.per_slot.tolist(), "answers": answers.per_slot.tolist()}
                notes |= {"per_slot": by_part, "strange": strange}
            store.put(f"{name}-rows.bin", rows.profile.to_bytes(), overwrite=True)
            store.put(f"{name}-answers.bin", answers.profile.to_bytes(), overwrite=True)
            store.put(f"{name}.json", json.dumps(notes).encode(), overwrite=True)
        self._sum(rows, answers, strange, notes["findings"])
        self.torn += notes["torn"]

    def _sum(self, rows: Part, answers: Part, strange: int, findings: Iterable[Mapping[str, Any]]) -> None:
        self._rows += rows
        self._answers += answers
        self.strange += strange
        for finding in (SchemaFinding(**found) for found in findings):
            self.findings[finding.column, finding.kind] = finding


def season_of(looked: Looked) -> Season | None:
    """The reference's season, where the model asks for one and its champion was registered with it."""
    return None if looked.config.monitor.season == "none" else looked.reference.season


def _mark(season: Season) -> str:
    """What a step's counts depend on besides its rows: the slots, and which of them were ever seen."""
    seen = season.seen(np.arange(len(season.rows)))
    return f"{season.kind} {season.width} {np.packbits(seen).tobytes().hex()}"


def _count(looked: Looked, rows: pd.DataFrame) -> tuple[Part, Part, int]:
    """Counts over all served rows, over those that the champion's version answered, and what is left out."""
    season = season_of(looked)
    known = rows if season is None else rows[season.seen(season.slots(rows["_at"]))]
    mine = (known["_version"] == looked.champion.version).to_numpy()
    everything = _part(looked, known)
    answers = everything if mine.all() else _part(looked, known[mine])
    return everything, answers, len(rows) - len(known)


def _part(looked: Looked, rows: pd.DataFrame) -> Part:
    season = season_of(looked)
    frame = rows[list(looked.config.feature_names)].copy()
    frame["prediction"] = rows["_prediction"]
    frame["confidence"] = rows["_confidence"]
    profile = count(looked.reference.frames, frame)
    if season is None:
        return Part(profile, np.zeros(0, np.int64))
    return Part(profile, tally(season.slots(rows["_at"]), len(season.rows)))


def _findings(config: ModelConfig, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Where the step's rows break the contract; columns that nobody knows were noted by the gateway."""
    extra = {name for text in rows["_extra"].dropna().unique() for name in text.split(",") if name}
    frame = rows[list(config.feature_names)].assign(**dict.fromkeys(sorted(extra)))
    return [asdict(finding) for finding in schema_check(frame, config)] if len(rows) else []


def drift_report(looked: Looked, window: Window) -> DriftReport:
    """Inputs over all rows, answers over the champion's own; each against the hours that it comes from."""
    reference, monitor = looked.reference, looked.config.monitor
    rows = compare(reference.against(window.per_slot), window.rows, monitor)
    answers = compare(reference.against(window.answers_per_slot), window.answers, monitor)
    # What the steps' own rows showed, and what only the whole window shows beside the reference.
    whole = {(finding.column, finding.kind): finding for finding in rows.schema}
    report = rows.with_outputs(answers.outputs).with_schema((window.findings | whole).values())
    return replace(report, reason="; ".join([report.reason, *_about_season(looked, window)]))


def _about_season(looked: Looked, window: Window) -> Iterable[str]:
    if looked.config.monitor.season != "none" and looked.reference.season is None:
        yield (
            f"version {looked.champion.version} was registered without a season: "
            "all hours are compared with the whole of its reference until the next one"
        )
    if window.strange:
        yield f"{window.strange} rows left out: the reference has seen nothing of their hours"


def window_start(config: ModelConfig, facts: Mapping[str, Any], end: datetime) -> datetime:
    """The window's start; never before the champion's own data end, which it knows already.

    Otherwise a version that learnt a new world would be told for a whole window's length that the old
    one looks different.
    """
    start = end - config.monitor.window
    known = facts.get("trained_until")
    return max(start, datetime.fromisoformat(known)) if known else start
