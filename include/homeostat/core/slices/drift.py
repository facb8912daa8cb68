"""Drift of slices: the inputs of each against the same slice of the reference."""

from __future__ import annotations

from dataclasses import dataclass

from homeostat.config.model import Monitor
from homeostat.core.drift import OUTPUTS, DriftVerdict, FeatureVerdict
from homeostat.core.drift.compare import aggregate, feature_verdicts, is_comparable
from homeostat.core.drift.feature import DECISIVE, compute_stats
from homeostat.core.profile import MIN_SLICE_ROWS, Profile, SlicedProfile


@dataclass(frozen=True, slots=True)
class SliceDrift:
    """The inputs of one slice. ``rows`` are the window's, ``drifted`` the names of its drifted features."""

    verdict: DriftVerdict
    reason: str
    rows: int
    drifted_share: float | None = None
    drifted: tuple[str, ...] = ()


def compare_slices(
    reference: SlicedProfile, window: SlicedProfile, monitor: Monitor, *, of_hours: bool = False
) -> dict[str, SliceDrift]:
    """Compare each slice of a window with the same slice of the reference.

    The rules are those of the whole, :func:`homeostat.core.drift.compare_profiles`, with one difference: the
    p-values are corrected over all slices and features together. A slice with fewer than 30 rows on either
    side (or ``monitor.min_rows``, if that is less) is not computable, and its p-values are not among them.
    """
    least = min(MIN_SLICE_ROWS, monitor.min_rows)
    found = {
        name: SliceDrift(
            "not_computable",
            _too_few(reference[name], window[name], least, of_hours=of_hours),
            window[name].rows,
        )
        for name in window
    }
    computable = [name for name, result in found.items() if not result.reason]
    stats = [
        (name, compute_stats(feature, counts, window[name].features[feature], monitor, tests=DECISIVE))
        for name in computable
        for feature, counts in reference[name].features.items()
        if feature not in OUTPUTS
    ]
    verdicts = feature_verdicts([each for _, each in stats], monitor)
    by_slice: dict[str, list[FeatureVerdict]] = {name: [] for name in computable}
    for (name, each), verdict in zip(stats, verdicts, strict=True):
        if verdict.drifted is not None or is_comparable(each.reference):
            by_slice[name].append(verdict)
    for name, own in by_slice.items():
        whole = aggregate(own, monitor)
        drifted = tuple(verdict.name for verdict in own if verdict.drifted)
        found[name] = SliceDrift(whole.verdict, whole.reason, window[name].rows, whole.drifted_share, drifted)
    return found


def _too_few(reference: Profile, window: Profile, least: int, *, of_hours: bool) -> str:
    side = "the window's hours in the reference, effectively" if of_hours else "the reference"
    if window.rows < least:
        return f"only {window.rows} rows in the window, {least} are needed"
    return f"only {reference.rows} rows in {side}, {least} are needed" if reference.rows < least else ""
