"""Counts of a window that the source makes itself, where an engine holds the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from homeostat.core.profile import (
    FeatureCounts,
    Profile,
    ProfileEdges,
    Season,
    SlicedProfile,
    SliceReference,
    covered_slots,
)
from homeostat.core.profile.coerce import Ints
from homeostat.core.profile.grouped import slice_profiles
from homeostat.core.profile.histogram import array_length
from homeostat.monitoring.context import CheckContext


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """The profiles of all rows and of each slice, their slots, and rows of hours without a reference.

    ``slices`` and ``slice_slots`` are those of :class:`homeostat.monitoring.window.RowCounts`.
    """

    profile: Profile
    slices: SlicedProfile
    per_slot: Ints
    slice_slots: Mapping[str, Ints]
    left_out: int


def count_at_source(
    context: CheckContext,
    season: Season | None,
    slices: SliceReference | None,
    start: datetime,
    end: datetime,
) -> SourceCounts | None:
    """Count the features of all rows of ``[start, end)`` in the engine; None for another source.

    The predictions of these rows are not there: they count as missing.
    """
    config, edges = context.config, context.reference.edges
    names = [name for name in config.feature_names if name in edges.features]
    own = ProfileEdges({name: edges.features[name] for name in names})
    found = context.ports.source.count(config, own, start, end, season, slices.slices if slices else None)
    if found is None:
        return None
    known, left_out = _covered(found, season)
    per_slot = np.zeros(0 if season is None else len(season.rows), np.int64)
    if season is not None:
        for key, profile in known.items():
            per_slot[key[0]] += profile.rows
    parts, slice_slots = ({}, {}) if slices is None else _by_slice(own, known, season, slices)
    return SourceCounts(
        _with_outputs(edges, sum(known.values(), Profile.empty(own))),
        {name: _with_outputs(edges, profile) for name, profile in parts.items()},
        per_slot,
        slice_slots,
        left_out,
    )


def _by_slice(
    edges: ProfileEdges,
    groups: Mapping[tuple[int, ...], Profile],
    season: Season | None,
    slices: SliceReference,
) -> tuple[SlicedProfile, dict[str, Ints]]:
    """Return the profile of each slice and rest, and its rows by slot of its season."""
    slots = {name: np.zeros(len(each.rows), np.int64) for name, each in slices.seasons.items()}
    if season is None:
        return slice_profiles(edges, groups, slices.slices), slots
    covered = {name: covered_slots(each) for name, each in slices.seasons.items()}
    found = {name: np.zeros(array_length(edges), np.int64) for name in slices.slices.names}
    for (whole_slot, *places), profile in groups.items():
        counts = profile.to_array()
        for slicing, place in zip(slices.slices.slicings, places, strict=True):
            name = slicing.names[place]
            if name in slots:
                slot = whole_slot * season.width // slices.seasons[name].width
                slots[name][slot] += profile.rows
                if not covered[name][slot]:
                    continue
            found[name] += counts
    return {name: Profile.from_array(array, edges) for name, array in found.items()}, slots


def _with_outputs(edges: ProfileEdges, counted: Profile) -> Profile:
    """Return the profile on all edges of the reference; what is not counted is missing."""
    missing = {
        name: FeatureCounts(each, FeatureCounts.empty(each).slots.copy(), counted.rows)
        for name, each in edges.features.items()
        if name not in counted.features
    }
    features = {**counted.features, **missing}
    return Profile(edges, counted.rows, {name: features[name] for name in edges.features})


def _covered(
    found: Mapping[tuple[int, ...], Profile], season: Season | None
) -> tuple[Mapping[tuple[int, ...], Profile], int]:
    """Leave out the rows of hours that the season has never seen, and count them."""
    if season is None or not found:
        return found, 0
    slots = np.array(sorted({key[0] for key in found}), dtype=np.int64)
    covered = set(slots[season.covers(slots)].tolist())
    known = {key: profile for key, profile in found.items() if key[0] in covered}
    return known, sum(profile.rows for key, profile in found.items() if key[0] not in covered)
