"""Profiles: what a table's columns look like, in a few kilobytes that add up."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from homeostat.api.tables import Data, as_frame
from homeostat.config.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from homeostat.core.profile import Reference


class Profile:
    """Counts of every column on fixed bins: made once, merged with others on the same bins, compared.

    Make the first one from the reference with :meth:`make`, and those of later data with :meth:`count`, which
    uses the same bins. Two of them, of two hours or two machines, merge to the profile of all their rows.
    """

    def __init__(self, reference: Reference) -> None:
        self._reference = reference

    @classmethod
    def make(cls, data: Data, columns: Mapping[str, Literal["number", "category"]] | None = None) -> Profile:
        """Fit bins to a table and count it.

        Parameters
        ----------
        data
            See :func:`homeostat.drift`.
        columns
            Column to ``number`` or ``category``. Default: every column, by its type; dates are left out.

        Raises
        ------
        DataError
            There is no such column, or no column at all.
        """
        from homeostat.core.profile import Reference, count_dataframe, fit_edges

        frame = as_frame(data, "data")
        kinds = dict(columns) if columns is not None else _kinds(frame)
        absent = [name for name in kinds if name not in frame.columns]
        if absent or not kinds:
            msg = f"data has no column {', '.join(absent) or 'to count'}; its columns: {list(frame.columns)}"
            raise DataError(msg)
        edges = fit_edges(frame, kinds)
        return cls(Reference(edges, count_dataframe(edges, frame)))

    def count(self, data: Data) -> Profile:
        """Count another table on this profile's bins; a column that it lacks is missing in every row."""
        from homeostat.core.profile import Reference, count_dataframe

        edges = self._reference.edges
        return Profile(Reference(edges, count_dataframe(edges, as_frame(data, "data"))))

    def merge(self, other: Profile) -> Profile:
        """Return the profile of the rows of both; ValueError when their bins differ: use :meth:`count`."""
        from homeostat.core.profile import Reference

        return Profile(Reference(self._reference.edges, self._reference.profile + other._reference.profile))

    def compare(self, current: Profile) -> dict[str, Any]:
        """Return the drift of ``current`` against this profile: a verdict for each column, and one for all.

        Raises
        ------
        ValueError
            Their bins differ: make ``current`` with this profile's :meth:`count`.
        """
        from homeostat.config.model import Monitor
        from homeostat.core.drift import compare_profiles

        if self._reference.edges != current._reference.edges:
            msg = "the profiles have different bins: make the current one with reference.count(data)"
            raise ValueError(msg)
        report = compare_profiles(self._reference.profile, current._reference.profile, Monitor(min_rows=20))
        return report.to_json()

    def save(self, path: str | PathLike[str]) -> None:
        """Write the profile to a file: a few kilobytes per column, readable by later releases."""
        Path(path).write_bytes(self._reference.to_bytes())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Profile:
        """Read what :meth:`save` wrote; DataError for any other file."""
        from homeostat.core.profile import Reference

        return cls(Reference.from_bytes(Path(path).read_bytes()))

    @property
    def rows(self) -> int:
        """Number of rows counted."""
        return self._reference.profile.rows

    @property
    def columns(self) -> dict[str, str]:
        """Each column's kind, ``number`` or ``category``."""
        return {name: each.kind for name, each in self._reference.edges.features.items()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self._reference.digest == other._reference.digest

    def __hash__(self) -> int:
        return hash(self._reference.digest)

    def __repr__(self) -> str:
        return f"Profile({self.rows:,} rows, {len(self.columns)} columns)"


def _kinds(frame: pd.DataFrame) -> dict[str, Literal["number", "category"]]:
    from pandas.api import types

    kinds: dict[str, Literal["number", "category"]] = {}
    for name in frame.columns:
        column = frame[name]
        if types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column):
            continue
        number = types.is_numeric_dtype(column) and not types.is_bool_dtype(column)
        kinds[str(name)] = "number" if number else "category"
    return kinds
