"""Drift of a window: its counts compared with the reference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from homeostat.core.drift import DriftReport, compare_profiles
from homeostat.monitoring.context import CheckContext
from homeostat.monitoring.window import WindowCounts


def drift_report(context: CheckContext, window: WindowCounts) -> DriftReport:
    """Compare inputs over all rows and outputs over the champion's own.

    With a season, each is compared with the reference of the same hours.
    """
    reference, monitor = context.reference, context.config.monitor
    rows = compare_profiles(reference.for_window(window.per_slot), window.rows, monitor)
    predicted = compare_profiles(reference.for_window(window.predicted_per_slot), window.predicted, monitor)
    # Findings of single steps, and those that only the whole window shows.
    from_window = {(finding.column, finding.kind): finding for finding in rows.schema}
    report = rows.with_outputs(predicted.outputs).with_schema((window.findings | from_window).values())
    return replace(report, reason="; ".join([report.reason, *_season_notes(context, window)]))


def _season_notes(context: CheckContext, window: WindowCounts) -> Iterable[str]:
    if context.config.monitor.season != "none" and context.reference.season is None:
        yield (
            f"version {context.champion.version} was registered without a season: until the next version, "
            "monitor.season has no effect"
        )
    if window.left_out:
        yield f"{window.left_out} rows left out: the reference has no rows of their hours"
