"""Counts of a window, added up from the counts of its steps.

Each step is counted once. Its counts are kept in the Store together with a rolling sum, so that a check costs
what its new rows cost, however long the window is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.core.drift import SchemaFinding, check_schema
from homeostat.core.model_health import StepTraffic
from homeostat.core.profile import (
    Profile,
    ProfileEdges,
    Season,
    SlicedProfile,
    SliceReference,
    count_dataframe,
    count_positions,
    slot_totals,
)
from homeostat.core.profile.coerce import Ints
from homeostat.core.profile.histogram import array_length
from homeostat.monitoring.batch_scoring import score_in_batch
from homeostat.monitoring.context import CheckContext
from homeostat.monitoring.source_window import count_at_source
from homeostat.monitoring.step_latency import count_latency, quantile
from homeostat.storage import prediction_log as log
from homeostat.storage.rolling_counts import CountStore, RollingSum, StepCounts, StepNotes, rolling_sum


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Counts of some rows: their profile, rows per slot of the season, shape (0,) without one, and slices.

    ``slice_slots`` has the rows of each slice per slot of its season, and is empty without one. Rows of slots
    that the slice's season does not cover are not in ``slices``: there is nothing to compare them with.
    """

    profile: Profile
    per_slot: Ints
    slices: SlicedProfile = field(default_factory=dict)
    slice_slots: Mapping[str, Ints] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts over all served rows, and over those that the champion predicted.

    ``left_out`` are rows of hours that the reference's season has never seen: they are in neither count, as
    there is nothing to compare them with.
    """

    served: RowCounts
    predicted: RowCounts
    left_out: int


class WindowCounts:
    """The counts of a window, its contract findings, and the log files that could not be read.

    Parameters
    ----------
    start, end
        The window is ``[start, end)``.
    """

    def __init__(self, context: CheckContext, start: datetime, end: datetime) -> None:
        if context.config.serve == "none":  # no gateway: the champion scores the source's rows now
            rows = score_in_batch(context.config, context.ports, context.champion, start, end, label=False)
            self._counted = _count(context, rows)
            own = slices_of(context)
            counted = count_at_source(context, season_of(context), own, start, end)
            if counted is not None:  # these are all rows, of which the champion has scored a sample
                served = RowCounts(counted.profile, counted.per_slot, counted.slices, counted.slice_slots)
                self._counted = replace(self._counted, served=served, left_out=counted.left_out)
            notes = [StepNotes(tuple(_findings(context.config, rows)))]
            self.traffic: StepTraffic | None = None
        else:
            total = _sum_of_steps(context, start, end)
            self._counted = _from_array(context, total.counts)
            keys = sorted(total.steps, reverse=True)
            notes = [total.steps[key][1] for key in keys]
            newest = f"{max(start, end - context.config.monitor.every):%Y-%m-%dT%H%M%S}-"
            self.traffic = _traffic(notes[0] if keys and newest in keys[0] else StepNotes(rows=0))
        found = [SchemaFinding(**raw) for note in notes for raw in note.findings]
        self.findings = {(finding.column, finding.kind): finding for finding in found}
        self.unreadable = [key for note in notes for key in note.unreadable]

    @property
    def rows(self) -> Profile:
        """Profile of all rows: the champion's predictions and, during a canary, the candidate's."""
        return self._counted.served.profile

    @property
    def slices(self) -> SlicedProfile:
        """Profile of all rows by slice; empty where the champion has none, or none are watched."""
        return self._counted.served.slices

    @property
    def slice_slots(self) -> Mapping[str, Ints]:
        """All rows of each slice by slot of its season; empty without one."""
        return self._counted.served.slice_slots

    @property
    def predicted(self) -> Profile:
        """Profile of the rows that the champion predicted."""
        return self._counted.predicted.profile

    @property
    def per_slot(self) -> Ints:
        """All rows by slot of the season; without one, shape (0,)."""
        return self._counted.served.per_slot

    @property
    def predicted_per_slot(self) -> Ints:
        """Rows that the champion predicted, by slot of the season."""
        return self._counted.predicted.per_slot

    @property
    def left_out(self) -> int:
        """Rows of hours that the reference's season has never seen."""
        return self._counted.left_out


def window_start(config: ModelConfig, info: Mapping[str, Any], end: datetime) -> datetime:
    """Return the window's start, no earlier than the end of the champion's training data.

    Otherwise a version trained on new data would look drifted for a whole window's length.
    """
    start = end - config.monitor.window
    trained_until = info.get("trained_until")
    return max(start, datetime.fromisoformat(trained_until)) if trained_until else start


def season_of(context: CheckContext) -> Season | None:
    """Return the reference's season, if ``monitor.season`` is set and the champion was registered with it."""
    return None if context.config.monitor.season == "none" else context.reference.season


def slices_of(context: CheckContext) -> SliceReference | None:
    """Return the reference's slices, if ``monitor.slices`` has any and the champion was registered so.

    Their seasons are there where :func:`season_of` returns one.
    """
    own = context.reference.slices if context.config.monitor.slices else None
    return replace(own, seasons={}) if own and season_of(context) is None else own


def _sum_of_steps(context: CheckContext, start: datetime, end: datetime) -> RollingSum:
    """Add up the steps of the prediction log, counted back from the end; a step without files has none."""
    config, store, edges = context.config, context.ports.store, context.reference.edges
    every, folder = config.monitor.every, f"profiles/{config.name}/{edges.digest[:16]}"
    version = _counting_version(context)
    hours = log.files_by_hour(store, config.name, "predictions", start, end)
    steps: dict[str, Callable[[], StepCounts]] = {}
    step_end = end
    while step_end > start:
        step = max(start, step_end - every)
        files = log.files_of(hours, step, step_end)
        if files:
            source = _hash(version, step.isoformat(), step_end.isoformat(), *files)
            key = f"{folder}/{step:%Y-%m-%dT%H%M%S}-{source}.step"
            steps[key] = partial(_count_step, context, step, step_end, files)
        step_end = step
    # Windows whose steps begin at other times of the hour share no step, and so no sum either.
    grid = (end - datetime(1970, 1, 1, tzinfo=UTC)) % every
    own = slices_of(context)
    size = (
        2 * (len(_names(own)) * array_length(edges) + _slots(context) + sum(_slice_slots(own).values())) + 1
    )
    key = f"{folder}/{_hash(version, every, grid)}.sum"
    return rolling_sum(CountStore(store, edges.digest, size), key, steps)


def _count_step(context: CheckContext, start: datetime, end: datetime, files: Sequence[str]) -> StepCounts:
    """Read and count one step's rows."""
    read = log.read_predictions(context.ports.store, context.config, start, end, files=files)
    rows, latency = len(read.rows), count_latency(read.rows)
    notes = StepNotes(tuple(_findings(context.config, read.rows)), read.unreadable, rows, latency)
    return StepCounts(_to_array(_count(context, read.rows)), notes)


def _traffic(notes: StepNotes) -> StepTraffic | None:
    """Return a step's traffic; None where an earlier release counted it."""
    if notes.rows is None:
        return None
    requests = sum(notes.latency)
    p50, p99 = (quantile(notes.latency, q) if requests else None for q in (0.5, 0.99))
    return StepTraffic(notes.rows, requests, p50, p99)


def _to_array(counted: Counted) -> Ints:
    """Return one row of integers, so that steps add up at once."""
    parts = (counted.served, counted.predicted)
    arrays = [
        array
        for part in parts
        for array in (
            part.profile.to_array(),
            *(profile.to_array() for profile in part.slices.values()),
            part.per_slot,
            *part.slice_slots.values(),
        )
    ]
    return np.concatenate([*arrays, np.array([counted.left_out], np.int64)])


def _from_array(context: CheckContext, counts: Ints) -> Counted:
    """Read what :func:`_to_array` returned, or the sum of several."""
    edges, own = context.reference.edges, slices_of(context)
    names, slots = _names(own), {"": _slots(context), **_slice_slots(own)}
    lengths = [array_length(edges)] * len(names) + list(slots.values())
    halves = []
    for half in np.split(counts[:-1], 2):
        arrays = np.split(half, np.cumsum(lengths)[:-1])
        profiles = {
            name: Profile.from_array(array, edges) for name, array in zip(names, arrays, strict=False)
        }
        per_slot = dict(zip(slots, arrays[len(names) :], strict=True))
        halves.append(RowCounts(profiles.pop(""), per_slot.pop(""), profiles, per_slot))
    served, predicted = halves
    return Counted(served, predicted, int(counts[-1]))


def _counting_version(context: CheckContext) -> str:
    """Identify what counts depend on besides the rows: champion, contract, slots and covered slots."""
    season = season_of(context)
    slots = ""
    if season is not None:
        covered = season.covers(np.arange(len(season.rows)))
        slots = f"{season.kind} {season.width} {np.packbits(covered).tobytes().hex()}"
    columns = context.config.columns.model_dump_json(
        exclude={"timestamp_format": True, "label": {"classes", "mapping", "positive"}}
    )
    own = slices_of(context)
    return _hash(context.champion.version, columns, slots, *([own.slices.digest] if own else []))


def _count(context: CheckContext, rows: pd.DataFrame) -> Counted:
    season = season_of(context)
    known = rows if season is None else rows[season.covers(season.slots_of(rows["_at"]))]
    own = (known["_version"] == context.champion.version).to_numpy()
    served = _row_counts(context, known)
    predicted = served if own.all() else _row_counts(context, known[own])
    return Counted(served, predicted, len(rows) - len(known))


def _row_counts(context: CheckContext, rows: pd.DataFrame) -> RowCounts:
    season = season_of(context)
    frame = rows[list(context.config.feature_names)].copy()
    frame["prediction"] = rows["_prediction"]
    frame["confidence"] = rows["_confidence"]
    edges, own = context.reference.edges, slices_of(context)
    profile = count_dataframe(edges, frame)
    slices, slice_slots = _count_slices(own, edges, frame, rows["_at"]) if own else ({}, {})
    slots = (
        np.zeros(0, np.int64)
        if season is None
        else slot_totals(season.slots_of(rows["_at"]), len(season.rows))
    )
    return RowCounts(profile, slots, slices, slice_slots)


def _count_slices(
    own: SliceReference, edges: ProfileEdges, frame: pd.DataFrame, times: pd.Series
) -> tuple[SlicedProfile, dict[str, Ints]]:
    """Count the rows of each slice, and by slot of its season; see :class:`RowCounts`."""
    positions, slots = own.slices.positions(frame), {}
    for name, season in own.seasons.items():
        at = positions[name]
        of_row = season.slots_of(times.iloc[at])
        slots[name] = slot_totals(of_row, len(season.rows))
        positions[name] = at[season.covers(of_row)]
    return count_positions(edges, frame, positions), slots


def _findings(config: ModelConfig, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return where the rows break the contract; the gateway recorded the names of unknown columns."""
    extra = {name for text in rows["_extra"].dropna().unique() for name in text.split(",") if name}
    frame = rows[list(config.feature_names)].assign(**dict.fromkeys(sorted(extra)))
    return [asdict(finding) for finding in check_schema(frame, config)] if len(rows) else []


def _names(own: SliceReference | None) -> list[str]:
    """Return the names of the profiles in an array, "" for the whole."""
    return ["", *(own.profiles if own else ())]


def _slice_slots(own: SliceReference | None) -> dict[str, int]:
    """Return how many slots the season of each slice has."""
    return {name: len(season.rows) for name, season in own.seasons.items()} if own else {}


def _slots(context: CheckContext) -> int:
    season = season_of(context)
    return 0 if season is None else len(season.rows)


def _hash(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]
