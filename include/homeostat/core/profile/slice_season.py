"""The season of each slice: a reference by hour for every slice and rest.

All share the slots of the whole's season, or longer ones, so that those of one feature add up to the whole's
in every cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from homeostat.config.errors import DataError
from homeostat.core.profile.cells import count_cells
from homeostat.core.profile.coerce import Ints
from homeostat.core.profile.edges import ProfileEdges
from homeostat.core.profile.fit_edges import column_of
from homeostat.core.profile.histogram import Profile
from homeostat.core.profile.season import (
    HOURS,
    MAX_COUNTS,
    WIDTHS,
    Season,
    counts_per_slot,
    season_slots,
    slot_totals,
)

#: Slots of slices are at most so long: within longer ones the day itself would look like drift.
MAX_SLICE_HOURS = 6

SliceSeasons = Mapping[str, Season]


def slice_season_width(edges: ProfileEdges, season: Season, names: Sequence[str]) -> int | None:
    """Return the hours in a slot of the slices' seasons; None where they would have too many counts.

    It is a multiple of the whole's, and the shortest with which all slices together have at most
    :data:`~homeostat.core.profile.season.MAX_COUNTS` counts.
    """
    size = counts_per_slot(edges) * len(names)
    fitting = (
        width
        for width in WIDTHS
        if width <= MAX_SLICE_HOURS
        and not width % season.width
        and size * HOURS[season.kind] // width <= MAX_COUNTS
    )
    return next(fitting, None)


def fit_slice_seasons(
    edges: ProfileEdges,
    season: Season,
    frame: pd.DataFrame,
    times: pd.Series,
    positions: Mapping[str, Ints],
) -> dict[str, Season]:
    """Count the reference's rows of each slice by hour; empty where that would be too many counts.

    Parameters
    ----------
    positions
        Row positions by slice, rests included, as :meth:`~homeostat.core.profile.slices.Slices.positions`
        returns them.
    """
    width = slice_season_width(edges, season, list(positions))
    if width is None:
        return {}
    slots, slot_of_row = HOURS[season.kind] // width, season_slots(times, season.kind, width)
    found = {}
    for name, at in positions.items():
        own, groups = frame.iloc[at], slot_of_row[at]
        counts = {
            feature: count_cells(each, column_of(own, feature), groups, slots)
            for feature, each in edges.features.items()
        }
        found[name] = Season(season.kind, slot_totals(groups, slots), counts)
    return found


def reweight_slices(
    edges: ProfileEdges, seasons: SliceSeasons, rows_per_slot: Mapping[str, Ints]
) -> dict[str, Profile]:
    """Return the reference of each slice reweighted to the slice's own hours in a window.

    Rows of hours without a reference are left out, see :meth:`Season.reweight`.
    """
    return {
        name: season.reweight(edges, np.where(covered_slots(season), rows_per_slot[name], 0))
        for name, season in seasons.items()
    }


def covered_slots(season: Season) -> np.ndarray:
    """Return which slots of the season have reference rows, own or borrowed; bool, shape (slots,)."""
    return season.covers(np.arange(len(season.rows)))


def seasons_to_body(seasons: SliceSeasons) -> dict[str, Any]:
    """Return plain JSON: of the counts only those that are not 0, by their place in the table."""
    first = next(iter(seasons.values()))
    counts = {
        name: {feature: _sparse(table) for feature, table in season.counts.items()}
        for name, season in seasons.items()
    }
    return {"kind": first.kind, "width": first.width, "counts": counts}


def seasons_from_body(
    body: Mapping[str, Any], names: Sequence[str], edges: ProfileEdges
) -> dict[str, Season]:
    """Read what :func:`seasons_to_body` wrote; raise DataError when it does not fit these edges."""
    try:
        kind, width = body["kind"], body["width"]
        if kind not in HOURS or width not in WIDTHS:
            msg = f"unknown season {kind!r} in slots of {width!r} hours"
            raise ValueError(msg)
        slots, found = HOURS[kind] // width, {}
        for name in names:
            counts = {
                feature: _dense(body["counts"][name][feature], (slots, each.size + 2))
                for feature, each in edges.features.items()
            }
            totals = [table.sum(axis=1) for table in counts.values()] or [np.zeros(slots, np.int64)]
            if any(not np.array_equal(totals[0], other) for other in totals):
                msg = f"the features of {name!r} do not count the same rows"
                raise ValueError(msg)
            found[name] = Season(kind, totals[0], counts)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        msg = f"these are not the seasons of slices on these edges: {error!r}"
        raise DataError(msg) from None
    return found


def _sparse(table: Ints) -> list[list[int]]:
    flat = table.ravel()
    at = np.flatnonzero(flat)
    return [np.diff(at, prepend=0).tolist(), flat[at].tolist()]


def _dense(raw: Any, shape: tuple[int, int]) -> Ints:
    steps, counts = (np.array(part, dtype=np.int64) for part in raw)
    at = np.cumsum(steps)
    if (counts <= 0).any() or (steps < 0).any() or (steps[1:] == 0).any() or steps.shape != counts.shape:
        msg = "expected growing places and positive counts"
        raise ValueError(msg)
    flat = np.zeros(shape[0] * shape[1], np.int64)
    flat[at] = counts
    return flat.reshape(shape)
