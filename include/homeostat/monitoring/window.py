"""The window of a drift check, added up from counts of its steps.

Each step is counted once, and what it counts kept in the Store with the sum of them all, so that a check
costs what its new rows cost, however long the window is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.core.drift import DriftReport, SchemaFinding, compare, schema_check
from homeostat.core.profile import Profile, Reference, Season, count, tally
from homeostat.core.profile.coerce import Ints
from homeostat.core.profile.histogram import length_of
from homeostat.core.rollout import VersionRef
from homeostat.monitoring.batch_scoring import score_in_batch
from homeostat.ports import Ports
from homeostat.storage import prediction_log as log
from homeostat.storage.rolling_counts import Noted, Shelf, Step, Sum, add_up


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


class Window:
    """The window's profiles: over all served rows, and over the champion's answers only.

    Rows of hours that the reference's season has never seen are left out of both, as there is nothing to
    hold them against; ``strange`` says how many.
    """

    def __init__(self, looked: Looked, start: datetime, end: datetime) -> None:
        if looked.config.serve == "none":
            # Rows that no gateway has seen: out of the source, answered by the champion here and now.
            rows = score_in_batch(looked.config, looked.ports, looked.champion, start, end, label=False)
            self._rows, self._answers, self.strange = _count(looked, rows)
            noted = [Noted(tuple(_findings(looked.config, rows)))]
        else:
            total = _served(looked, start, end)
            self._rows, self._answers, self.strange = _from_counts(looked, total.counts)
            noted = [total.steps[key][1] for key in sorted(total.steps, reverse=True)]
        found = [SchemaFinding(**raw) for one in noted for raw in one.findings]
        self.findings = {(finding.column, finding.kind): finding for finding in found}
        self.torn = [key for one in noted for key in one.torn]

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


def _served(looked: Looked, start: datetime, end: datetime) -> Sum:
    """What gateways have answered, step by step back from the end; steps without files are none."""
    config, store, frames = looked.config, looked.ports.store, looked.reference.frames
    every, folder = config.monitor.every, f"profiles/{config.name}/{frames.digest[:16]}"
    counted = _mark(looked)
    hours = log.files_by_hour(store, config.name, "predictions", start, end)
    steps: dict[str, Callable[[], Step]] = {}
    step_end = end
    while step_end > start:
        step = max(start, step_end - every)
        files = log.files_of(hours, step, step_end)
        if files:
            source = _hash(counted, step.isoformat(), step_end.isoformat(), *files)
            key = f"{folder}/{step:%Y-%m-%dT%H%M%S}-{source}.step"
            steps[key] = partial(_step, looked, step, step_end, files)
        step_end = step
    # Windows whose steps begin at other times of the hour share no step, and so no sum either.
    grid = (end - datetime(1970, 1, 1, tzinfo=UTC)) % every
    size = 2 * (length_of(frames) + _slots(looked)) + 1
    return add_up(Shelf(store, frames.digest, size), f"{folder}/{_hash(counted, every, grid)}.sum", steps)


def _step(looked: Looked, start: datetime, end: datetime, files: Sequence[str]) -> Step:
    """Read and count one step's rows."""
    read = log.read_predictions(looked.ports.store, looked.config, start, end, files=files)
    noted = Noted(tuple(_findings(looked.config, read.rows)), read.torn)
    return Step(_to_counts(*_count(looked, read.rows)), noted)


def _to_counts(rows: Part, answers: Part, strange: int) -> Ints:
    """One row of integers, so that steps add up at once."""
    each = [array for part in (rows, answers) for array in (part.profile.to_array(), part.per_slot)]
    return np.concatenate([*each, np.array([strange], np.int64)])


def _from_counts(looked: Looked, counts: Ints) -> tuple[Part, Part, int]:
    """Read what :func:`_to_counts` gave, or the sum of several."""
    frames, slots = looked.reference.frames, _slots(looked)
    rows, answers = (
        Part(Profile.from_array(half[: len(half) - slots], frames), half[len(half) - slots :])
        for half in np.split(counts[:-1], 2)
    )
    return rows, answers, int(counts[-1])


def _hash(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def season_of(looked: Looked) -> Season | None:
    """The reference's season, where the model asks for one and its champion was registered with it."""
    return None if looked.config.monitor.season == "none" else looked.reference.season


def _slots(looked: Looked) -> int:
    season = season_of(looked)
    return 0 if season is None else len(season.rows)


def _mark(looked: Looked) -> str:
    """What counts depend on besides the rows: whose answers, the contract, the slots and which were seen."""
    season = season_of(looked)
    slots = ""
    if season is not None:
        seen = season.seen(np.arange(len(season.rows)))
        slots = f"{season.kind} {season.width} {np.packbits(seen).tobytes().hex()}"
    return _hash(looked.champion.version, looked.config.columns.model_dump_json(), slots)


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
