"""Profiles: integer counts on edges that the reference froze. The one currency of monitoring."""

from homeostat.core.profile.counting import count, count_arrow, count_column, count_table
from homeostat.core.profile.edges import CategoryFrame, FeatureFrame, Frames, Kind, NumberFrame
from homeostat.core.profile.fit_edges import freeze
from homeostat.core.profile.histogram import Counts, Profile
from homeostat.core.profile.outcomes import Outcomes
from homeostat.core.profile.parquet import count_parquet
from homeostat.core.profile.reference import Reference
from homeostat.core.profile.season import Season, SeasonKind, tally

__all__ = [
    "CategoryFrame",
    "Counts",
    "FeatureFrame",
    "Frames",
    "Kind",
    "NumberFrame",
    "Outcomes",
    "Profile",
    "Reference",
    "Season",
    "SeasonKind",
    "count",
    "count_arrow",
    "count_column",
    "count_parquet",
    "count_table",
    "freeze",
    "tally",
]
