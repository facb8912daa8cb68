"""Counts of a window that the source makes itself, where an engine holds the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from homeostat.core.profile import FeatureCounts, Profile, ProfileEdges, Season
from homeostat.core.profile.coerce import Ints
from homeostat.monitoring.context import CheckContext


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """The profile of all rows, their slots of the season, and rows of hours that it has never seen."""

    profile: Profile
    per_slot: Ints
    left_out: int


def count_at_source(
    context: CheckContext, season: Season | None, start: datetime, end: datetime
) -> SourceCounts | None:
    """Count the features of all rows of ``[start, end)`` in the engine; None for another source.

    The predictions of these rows are not there: they count as missing.
    """
    config, edges = context.config, context.reference.edges
    own = ProfileEdges(
        {name: edges.features[name] for name in config.feature_names if name in edges.features}
    )
    found = context.ports.source.count(config, own, start, end, season)
    if found is None:
        return None
    known, left_out = _covered(found, season)
    counted = sum(known.values(), Profile.empty(own))
    missing = {
        name: FeatureCounts(each, FeatureCounts.empty(each).slots.copy(), counted.rows)
        for name, each in edges.features.items()
        if name not in own.features
    }
    per_slot = np.zeros(0 if season is None else len(season.rows), np.int64)
    if season is not None:
        for slot, profile in known.items():
            per_slot[slot] = profile.rows
    return SourceCounts(Profile(edges, counted.rows, {**counted.features, **missing}), per_slot, left_out)


def _covered(found: Mapping[int, Profile], season: Season | None) -> tuple[Mapping[int, Profile], int]:
    if season is None:
        return found, 0
    slots = np.array(sorted(found), dtype=np.int64)
    known = slots[season.covers(slots)].tolist() if slots.size else []
    left_out = sum(profile.rows for slot, profile in found.items() if slot not in known)
    return {slot: found[slot] for slot in known}, left_out
