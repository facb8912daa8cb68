"""Edges fitted on a sample, settled by the counts of all rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from homeostat.core.profile.edges import CategoryEdges, FeatureEdges, NumberEdges, ProfileEdges
from homeostat.core.profile.histogram import FeatureCounts, Profile

_LARGEST = float(np.finfo(np.float64).max)


def float_edges(edges: FeatureEdges) -> FeatureEdges:
    """Return cut points as floats, as stored ones are: engines compare floats."""
    if not isinstance(edges, NumberEdges) or not edges.exact:
        return edges
    return replace(edges, cut_points=tuple(sorted({float(cut) for cut in edges.cut_points})))


def settle_sample(profile: Profile) -> Profile:
    """Return a reference's profile on edges that hold for all of its rows, not only for the sampled ones.

    A label that the sample missed is not unseen, and a number between two cut points makes them incomplete.
    Distances computed from the counts are exact but for the mass of an interval, wherever the cut points lie:
    their error (``ks_error``) covers the sampling.
    """
    features = {name: _settle(counts) for name, counts in profile.features.items()}
    edges = ProfileEdges({name: counts.edges for name, counts in features.items()})
    return Profile(edges, profile.rows, features)


def _settle(counts: FeatureCounts) -> FeatureCounts:
    edges = counts.edges
    if isinstance(edges, CategoryEdges):
        if not counts.unseen:
            return counts
        slots = counts.slots.copy()
        slots[-1] += counts.unseen
        return FeatureCounts(replace(edges, rest=(), open=True), slots, counts.missing)
    complete = edges.complete and not _has_values_between(edges, counts)
    return FeatureCounts(replace(edges, complete=complete), counts.slots, counts.missing, counts.unseen)


def _has_values_between(edges: NumberEdges, counts: FeatureCounts) -> bool:
    between = counts.slots[::2].copy()
    cuts = edges.cut_points
    if cuts and cuts[0] == -_LARGEST:  # infinities
        between[0] = 0
    if cuts and cuts[-1] == _LARGEST:
        between[-1] = 0
    return bool(between.any())
