"""Profiles: integer counts on edges that are fitted once on the reference. All monitoring works on them."""

from homeostat.core.profile.calibration import CalibrationCounts
from homeostat.core.profile.counting import (
    count_arrow_column,
    count_arrow_table,
    count_dataframe,
    count_series,
)
from homeostat.core.profile.edges import CategoryEdges, FeatureEdges, FeatureKind, NumberEdges, ProfileEdges
from homeostat.core.profile.fit_edges import fit_edges
from homeostat.core.profile.histogram import FeatureCounts, Profile
from homeostat.core.profile.parquet import count_parquet
from homeostat.core.profile.reference import Reference
from homeostat.core.profile.season import Season, SeasonKind, slot_totals
from homeostat.core.profile.slice_season import covered_slots, reweight_slices, slice_season_width
from homeostat.core.profile.slices import (
    MIN_SLICE_ROWS,
    SlicedProfile,
    SliceReference,
    Slices,
    Slicing,
    count_positions,
    count_slices,
)

__all__ = [
    "MIN_SLICE_ROWS",
    "CalibrationCounts",
    "CategoryEdges",
    "FeatureCounts",
    "FeatureEdges",
    "FeatureKind",
    "NumberEdges",
    "Profile",
    "ProfileEdges",
    "Reference",
    "Season",
    "SeasonKind",
    "SliceReference",
    "SlicedProfile",
    "Slices",
    "Slicing",
    "count_arrow_column",
    "count_arrow_table",
    "count_dataframe",
    "count_parquet",
    "count_positions",
    "count_series",
    "count_slices",
    "covered_slots",
    "fit_edges",
    "reweight_slices",
    "slice_season_width",
    "slot_totals",
]
