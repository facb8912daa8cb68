"""Put the rows of a GROUP BY together: the profile of each group of an engine's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from homeostat.adapters.engines.column_types import arrow_type
from homeostat.config.errors import DataError
from homeostat.core.profile import FeatureCounts, Profile, ProfileEdges
from homeostat.core.profile.coerce import Ints, label_of
from homeostat.core.profile.edges import FeatureEdges
from homeostat.core.profile.grouped import (
    ColumnGroup,
    GroupedProfiles,
    Grouping,
    GroupKey,
    SliceGroup,
    group_label,
)
from homeostat.core.profile.value_counts import count_values

#: Prefix of the groups' keys in queries.
KEYS = "homeostat_key"
#: Distinct values of a column that a query may return.
MAX_VALUES = 1_000_000


@dataclass(frozen=True, slots=True)
class CountedColumn:
    """What comes back of a column: values of an Ibis type, or with ``slots`` the place of a slot in it."""

    kind: Any
    slots: Ints | None = None


class GroupCounts:
    """The counts of a query so far.

    Parameters
    ----------
    columns
        Of the features that the table has, in the order of their places in the query.
    """

    def __init__(
        self,
        uri: str,
        edges: ProfileEdges,
        by: Sequence[Grouping],
        columns: Mapping[str, CountedColumn],
    ) -> None:
        self._uri, self._edges, self._by, self._columns = uri, edges, by, columns
        self._names = list(columns)
        self._rows: dict[GroupKey, int] = {}
        self._found: dict[GroupKey, list[dict[Any, int]]] = {}
        self._distinct = [0] * len(columns)

    def add(self, raw_keys: Sequence[Any], place: int, value: Any, rows: int) -> None:
        """Add ``rows`` rows of a group that hold this value in the column at ``place``.

        A place behind the last column counts the rows of the group.
        """
        key = tuple(_key(each, raw) for each, raw in zip(self._by, raw_keys, strict=True))
        if place == len(self._names):
            self._rows[key] = self._rows.get(key, 0) + rows
            return
        columns = self._found.setdefault(key, [{} for _ in self._names])
        before = columns[place].get(value)
        columns[place][value] = (before or 0) + rows
        if before is None:
            self._distinct[place] += 1
            if self._distinct[place] > MAX_VALUES:
                msg = (
                    f"{self._uri}: column '{self._names[place]}' has more than {MAX_VALUES:,} values, "
                    "too many for a category: leave it out of the features, or group its values in a query"
                )
                raise DataError(msg)

    def profiles(self) -> GroupedProfiles:
        """Return the profile of each group with rows."""
        return {key: self._profile(key, rows) for key, rows in self._rows.items() if rows}

    def _profile(self, key: GroupKey, rows: int) -> Profile:
        found = dict(zip(self._names, self._found.get(key, []), strict=False))
        features = {
            name: self._feature(name, each, found.get(name), rows)
            for name, each in self._edges.features.items()
        }
        return Profile(self._edges, rows, features)

    def _feature(
        self, name: str, edges: FeatureEdges, found: Mapping[Any, int] | None, rows: int
    ) -> FeatureCounts:
        if found is None:
            return FeatureCounts(edges, FeatureCounts.empty(edges).slots.copy(), rows)
        column = self._columns[name]
        if column.slots is None:
            return count_values(edges, _values(list(found), column.kind), np.array(list(found.values())))
        slots = np.zeros(edges.size, dtype=np.int64)
        for place, n in found.items():
            if place is not None:
                slots[column.slots[place]] += n
        return FeatureCounts(edges, slots, found.get(None, 0))


def _key(by: Grouping, raw: Any) -> str | int | None:
    if isinstance(by, ColumnGroup):
        return group_label(raw)
    if isinstance(by, SliceGroup) and by.slicing.kind == "category":
        label, labels = label_of(raw, by.slicing.spelling), by.slicing.labels
        return labels.index(label) if label in labels else len(labels)
    if isinstance(by, SliceGroup):
        return len(by.slicing.names) - 1 if raw is None else int(raw)
    return -1 if raw is None else int(raw)


def _values(values: list[Any], kind: Any) -> pa.Array | pd.Series:
    if kind.is_decimal():
        return pd.Series(values, dtype=object)
    if kind.is_uuid():
        values = [None if value is None else str(value) for value in values]
    return pa.array(values, arrow_type(kind))
