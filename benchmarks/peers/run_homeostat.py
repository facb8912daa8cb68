"""Homeostat: freeze and count the reference once, then count a window on its edges and compare."""

from __future__ import annotations

import pandas as pd
from timing import CATEGORIES, NUMBERS, run

from homeostat.config.model import Monitor
from homeostat.core.drift import DriftReport, compare_profiles
from homeostat.core.profile import Reference, count_dataframe

KINDS = dict.fromkeys(NUMBERS, "number") | dict.fromkeys(CATEGORIES, "category")


def set_up(reference: pd.DataFrame) -> Reference:
    """The reference's profile, and from here on nothing else of it."""
    return Reference.fit(reference, KINDS)


def check(reference: Reference, window: pd.DataFrame) -> DriftReport:
    """What the hourly check does with a window's rows."""
    return compare_profiles(reference.profile, count_dataframe(reference.edges, window), Monitor())


def read(report: DriftReport) -> tuple[bool | None, int]:
    """The report's verdict, and the features that it alerts on."""
    return report.verdict == "alert", sum(bool(feature.drifted) for feature in report.features)


if __name__ == "__main__":
    run("Homeostat", "as here", set_up, check, read)
