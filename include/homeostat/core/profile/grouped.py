"""Profiles of a table by group: one per value of some columns, or per slot of a season, from one pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from homeostat.core.profile.arrow import label_scalars
from homeostat.core.profile.coerce import Ints, label_of
from homeostat.core.profile.counting import arrow_column, count_arrow_table
from homeostat.core.profile.edges import ProfileEdges
from homeostat.core.profile.histogram import Profile
from homeostat.core.profile.season import SeasonKind, season_slots
from homeostat.core.profile.slices import SlicedProfile, Slices, Slicing


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """Rows by the label of a column; None is missing."""

    column: str


@dataclass(frozen=True, slots=True)
class SeasonGroup:
    """Rows by the slot of their time in a season, -1 without a time; slots are ``width`` hours long."""

    column: str
    kind: SeasonKind
    width: int = 1


@dataclass(frozen=True, slots=True)
class SliceGroup:
    """Rows by the place of their slice in :attr:`~homeostat.core.profile.slices.Slicing.names`."""

    slicing: Slicing

    @property
    def column(self) -> str:
        """The feature that divides the rows."""
        return self.slicing.feature


Grouping = ColumnGroup | SeasonGroup | SliceGroup
#: A label or None for each :class:`ColumnGroup`, a slot for each :class:`SeasonGroup`, the place of a slice.
GroupKey = tuple[str | int | None, ...]
#: The profile of each group that has rows; all of them add up to that of the table.
GroupedProfiles = Mapping[GroupKey, Profile]


def count_groups(
    edges: ProfileEdges, table: pa.Table | pa.RecordBatch, by: Sequence[Grouping] = ()
) -> GroupedProfiles:
    """Count the rows of each group; without ``by``, all rows are the group ``()``."""
    if not by:
        return {(): count_arrow_table(edges, table, threads=1)} if table.num_rows else {}
    keys, group_of_row = _groups(table, by)
    return {
        key: count_arrow_table(edges, table.filter(pa.array(group_of_row == at)), threads=1)
        for at, key in enumerate(keys)
    }


def add_groups(parts: Iterable[GroupedProfiles]) -> dict[GroupKey, Profile]:
    """Add up the profiles of the parts of a table, group by group."""
    total: dict[GroupKey, Profile] = {}
    for part in parts:
        for key, profile in part.items():
            total[key] = total[key] + profile if key in total else profile
    return total


def whole(edges: ProfileEdges, groups: GroupedProfiles) -> Profile:
    """Return the profile of all rows."""
    return sum(groups.values(), Profile.empty(edges))


def slice_profiles(
    edges: ProfileEdges, groups: Mapping[tuple[int, ...], Profile], slices: Slices
) -> SlicedProfile:
    """Return the profile of each slice and rest, from those of all combinations.

    Parameters
    ----------
    groups
        By the place of the slice of each slicing, in their order.
    """
    found = dict.fromkeys(slices.names, Profile.empty(edges))
    for places, profile in groups.items():
        for slicing, place in zip(slices.slicings, places, strict=True):
            name = slicing.names[place]
            found[name] = found[name] + profile
    return found


def group_columns(by: Sequence[Grouping]) -> list[str]:
    """Return the columns that groups are made of."""
    return [each.column for each in by]


def group_label(value: object) -> str | None:
    """Return the key of a value in a :class:`ColumnGroup`."""
    return label_of(value)


def _groups(table: pa.Table | pa.RecordBatch, by: Sequence[Grouping]) -> tuple[list[GroupKey], Ints]:
    """Return each key that occurs, and its place in this list for every row."""
    codes = np.zeros(table.num_rows, dtype=np.int64)
    keys: list[GroupKey] = [()]
    for each in by:
        found, own = _group_codes(arrow_column(table, each.column), each)
        pairs, codes = np.unique(codes * len(found) + own, return_inverse=True)
        keys = [(*keys[pair // len(found)], found[pair % len(found)]) for pair in pairs.tolist()]
    return keys, codes


def _group_codes(array: pa.Array | pa.ChunkedArray, by: Grouping) -> tuple[Sequence[str | int | None], Ints]:
    if isinstance(by, SeasonGroup):
        slots, codes = np.unique(
            season_slots(pd.Series(array.to_pandas()), by.kind, by.width), return_inverse=True
        )
        return slots.tolist() or [-1], codes
    if isinstance(by, SliceGroup):
        places = by.slicing.place(pd.Series(array.to_pandas()))
        return list(range(len(by.slicing.names))), places
    column = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    labels = [label_of(value) for value in label_scalars(encoded.dictionary)]
    distinct: list[str | None] = list(dict.fromkeys([*labels, None]))
    place = {label: at for at, label in enumerate(distinct)}
    of_code = np.array([place[label] for label in labels] + [place[None]], dtype=np.int64)
    codes = encoded.indices.fill_null(len(labels)).cast(pa.int64()).to_numpy(zero_copy_only=False)
    return distinct, of_code[codes]
