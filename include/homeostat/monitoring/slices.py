"""Drift and performance of each watched slice of a window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.core.performance import row_losses
from homeostat.core.profile import Season, SliceReference, Slices, reweight_slices, slice_season_width
from homeostat.core.profile.season import MAX_COUNTS
from homeostat.core.profile.slices import listed_labels
from homeostat.core.slices import (
    LossSums,
    SliceBaseline,
    SliceDrift,
    SliceResult,
    SlicesReport,
    assess_slices,
    compare_slices,
)
from homeostat.core.trigger import WindowRecord
from homeostat.monitoring.context import CheckContext
from homeostat.monitoring.window import WindowCounts, season_of, slices_of
from homeostat.storage.version_info import SLICE_LOSSES

#: Losses of the last windows count, so many of them.
_WINDOWS = 2


def check_slices(
    context: CheckContext,
    info: Mapping[str, Any],
    window: WindowCounts,
    losses: Mapping[str, LossSums],
    tenure: Sequence[WindowRecord],
    end: datetime,
) -> SlicesReport | None:
    """Compare each slice of a window with the same slice of the champion's holdout; None without any.

    Parameters
    ----------
    info
        What is stored about the champion.
    losses
        What :func:`newest_losses` returned for this window.
    tenure
        Records of the windows since this version became champion.
    """
    config = context.config
    if not config.monitor.slices:
        return None
    own = slices_of(context)
    if own is None:
        reason = (
            f"version {context.champion.version} was registered without slices: monitor.slices counts from "
            "the next version on"
        )
        return SlicesReport(config.slice_metric, reason=reason)
    first = end - _WINDOWS * config.monitor.window
    earlier = [
        {name: LossSums.from_json(raw) for name, raw in record.slice_losses.items()}
        for record in sorted(tenure, key=lambda record: record.window_end, reverse=True)
        if first < record.window_end < end
    ]
    baselines = {name: SliceBaseline.from_json(raw) for name, raw in info.get(SLICE_LOSSES, {}).items()}
    scores = assess_slices(config, own.slices.names, baselines, [losses, *earlier])
    drift = _drift(context, own, window)
    results = tuple(SliceResult(name, drift[name], scores[name]) for name in own.slices.names)
    return SlicesReport(config.slice_metric, results, "; ".join(_notes(context, own)))


def newest_losses(context: CheckContext, labelled: pd.DataFrame) -> dict[str, LossSums]:
    """Return the losses of the champion's labelled rows by slice; without slices that have no row."""
    own = slices_of(context)
    if own is None or not len(labelled):
        return {}
    rows = labelled[labelled["_version"] == context.champion.version]
    return {
        name: sums for name, sums in losses_by_slice(context.config, own.slices, rows).items() if sums.rows
    }


def losses_by_slice(config: ModelConfig, slices: Slices, rows: pd.DataFrame) -> dict[str, LossSums]:
    """Return the sums of the losses of labelled rows by slice; the prediction is in ``_prediction``."""
    losses = row_losses(config, rows["_prediction"].to_numpy(), rows)
    return {name: LossSums.of(np.asarray(losses)[at]) for name, at in slices.positions(rows).items()}


def _drift(context: CheckContext, own: SliceReference, window: WindowCounts) -> dict[str, SliceDrift]:
    """Compare the inputs; with a season, each slice with the reference of its own hours."""
    monitor, season = context.config.monitor, season_of(context)
    if season is None:
        return compare_slices(own.profiles, window.slices, monitor)
    if not own.seasons:
        reason = _no_season(context, own, season)
        return {
            name: SliceDrift("not_computable", reason, profile.rows)
            for name, profile in window.slices.items()
        }
    reference = reweight_slices(context.reference.edges, own.seasons, window.slice_slots)
    found = compare_slices(reference, window.slices, monitor, of_hours=True)
    for name, rows in window.slice_slots.items():
        left_out = int(rows.sum()) - found[name].rows
        if left_out:
            note = f"{left_out} rows left out: the reference of this slice has none of their hours"
            found[name] = replace(found[name], reason=f"{found[name].reason}; {note}")
    return found


def _no_season(context: CheckContext, own: SliceReference, season: Season) -> str:
    """Return why the slices of a version with a season have none."""
    if slice_season_width(context.reference.edges, season, own.slices.names) is None:
        return (
            f"a season of {len(own.slices.names)} slices by {len(context.reference.edges.features)} features "
            f"would have more than {MAX_COUNTS:,} counts: list fewer in monitor.slices, or lower "
            "monitor.max_slices"
        )
    return (
        f"version {context.champion.version} was trained before slices had a season: their drift counts from "
        "the next version on"
    )


def _notes(context: CheckContext, own: SliceReference) -> Iterator[str]:
    watched = {each.feature: each.values for each in context.config.monitor.slices}  # noqa: PD011
    frozen = {slicing.feature: slicing.labels for slicing in own.slices.slicings}
    same = watched.keys() == frozen.keys() and all(
        values is None or listed_labels(values) == frozen[feature] for feature, values in watched.items()
    )
    if not same:
        yield (
            f"version {context.champion.version} was registered with other slices: the change of "
            "monitor.slices counts from the next version on"
        )
    season = season_of(context)
    if season is not None and not own.seasons:
        yield f"drift of slices is not computable: {_no_season(context, own, season)}"
