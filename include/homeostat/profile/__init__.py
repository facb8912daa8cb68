"""Profiles: integer counts on edges that the reference froze. The one currency of monitoring."""

from homeostat.profile.count import count, count_arrow, count_column, count_table
from homeostat.profile.counts import Counts, Profile
from homeostat.profile.frames import CategoryFrame, FeatureFrame, Frames, Kind, NumberFrame
from homeostat.profile.freeze import freeze
from homeostat.profile.outcomes import Outcomes
from homeostat.profile.parquet import count_parquet
from homeostat.profile.reference import Reference
from homeostat.profile.season import Season, SeasonKind, tally

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
