"""Profiles: integer counts on edges that the reference froze. The one currency of monitoring."""

from homeostat.profile.arrow import count_arrow
from homeostat.profile.count import count, count_column
from homeostat.profile.counts import Counts, Profile
from homeostat.profile.frames import CategoryFrame, FeatureFrame, Frames, Kind, NumberFrame
from homeostat.profile.freeze import freeze
from homeostat.profile.reference import Reference

__all__ = [
    "CategoryFrame",
    "Counts",
    "FeatureFrame",
    "Frames",
    "Kind",
    "NumberFrame",
    "Profile",
    "Reference",
    "count",
    "count_arrow",
    "count_column",
    "freeze",
]
