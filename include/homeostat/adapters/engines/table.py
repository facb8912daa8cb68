"""A table of an engine: its columns, its rows in bounded batches, and its profile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, Self

import pyarrow as pa

from homeostat.adapters.engines.column_types import arrow_type, require_countable
from homeostat.adapters.engines.errors import engine_errors
from homeostat.adapters.engines.location import EngineLocation
from homeostat.config.errors import DataError
from homeostat.config.near_name import near_name
from homeostat.core.profile import Profile, ProfileEdges
from homeostat.core.profile.grouped import GroupedProfiles, Grouping, group_columns, whole

#: Rows of a batch: as many as the local path counts at a time.
BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class EngineTable:
    """A table, a query or files of an engine, perhaps only a part of its rows.

    ``backend`` and ``relation`` are Ibis's connection and table; ``complete`` says that the relation is all
    of the location. Not for several threads at a time.
    """

    location: EngineLocation
    backend: Any
    relation: Any
    complete: bool = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; a session of Spark stays, because others may use it."""
        if self.location.engine != "spark":
            self.backend.disconnect()

    @property
    def uri(self) -> str:
        """The location for people, without secrets."""
        return self.location.shown

    @property
    def names(self) -> tuple[str, ...]:
        """Columns in their order."""
        return tuple(self.relation.columns)

    @property
    def arrow_types(self) -> Mapping[str, pa.DataType]:
        """The Arrow type of each column's values; ``null`` for a type that is not read."""
        return {name: arrow_type(kind) for name, kind in self.relation.schema().items()}

    @property
    def types(self) -> Mapping[str, str]:
        """Arrow's name of each column's type."""
        return {name: str(kind) for name, kind in self.arrow_types.items()}

    @property
    def notes(self) -> list[str]:
        """Sentences on what is not read: columns of types without numbers, times or text."""
        left_out = [name for name, kind in self.arrow_types.items() if pa.types.is_null(kind)]
        if not left_out:
            return []
        return [f"{self.uri}: not read, because of their types: {', '.join(left_out)}"]

    def with_relation(self, relation: Any) -> EngineTable:
        """Return another table of the same connection."""
        return replace(self, relation=relation, complete=False)

    def between(self, column: str, start: datetime | None, end: datetime | None) -> EngineTable:
        """Return the rows with ``start <= column < end``; a time without a zone is UTC.

        Raises
        ------
        DataError
            There is no such column, or it holds no times.
        """
        self.require([column])
        kind = self.relation.schema()[column]
        if not (kind.is_timestamp() or kind.is_date()):
            msg = f"{self.uri}: column '{column}' has the type {kind}, not a time: cast it in a query"
            raise DataError(msg)
        rows = self.relation
        for moment, after in ((start, True), (end, False)):
            if moment is not None:
                bound = _bound(moment, kind)
                rows = rows.filter(rows[column] >= bound if after else rows[column] < bound)
        return replace(self, relation=rows, complete=self.complete and start is None and end is None)

    def require(self, columns: Sequence[str]) -> None:
        """Raise DataError for the first column that the table lacks."""
        known = self.names
        for name in columns:
            if name not in known:
                near = near_name(name, known)
                hint = f" (is it '{near}' here?)" if near else ""
                found = ", ".join(known[:20]) or "none"
                msg = f"{self.uri} has no column '{name}'{hint}; its columns are: {found}"
                raise DataError(msg)

    def count_rows(self) -> int:
        """Return the number of rows."""
        with engine_errors(self.location):
            counted = self.relation.aggregate(n=self.relation.count())
            if self.location.engine == "spark":
                return int(self.backend._session.sql(self.backend.compile(counted)).collect()[0][0])  # noqa: SLF001
            return int(counted.to_pyarrow().column(0)[0].as_py())

    def batches(self, columns: Sequence[str], rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Read these columns in batches of about so many rows; memory holds a few of them."""
        from homeostat.adapters.engines.batches import read_batches

        self.require(columns)
        with engine_errors(self.location):
            yield from read_batches(self, columns, rows)

    def profile_groups(self, edges: ProfileEdges, by: Sequence[Grouping] = ()) -> GroupedProfiles:
        """Count the rows of each group in the engine, in one query; only counts come back.

        The counts are those of :func:`homeostat.core.profile.count_arrow_table`, cell by cell. A column that
        the table lacks counts as missing in every row.

        Raises
        ------
        DataError
            The engine cannot count a column as the local path does; the message names it and says why.
        Unavailable
            The engine does not answer.
        """
        self.require(group_columns(by))
        require_countable(self, edges, by)
        count = _strategy(self.location.engine)
        with engine_errors(self.location):
            found: GroupedProfiles = count(self, edges, by)
            return found

    def profile(self, edges: ProfileEdges) -> Profile:
        """Count all rows; see :meth:`profile_groups`."""
        return whole(edges, self.profile_groups(edges))


def _bound(moment: datetime, kind: Any) -> Any:
    """Return a literal of the column's own type, so that no engine converts times by its own zone."""
    import ibis

    if kind.is_date():
        day = moment.astimezone(UTC)
        whole_day = day.time() == time(0)
        return ibis.literal(day.date() if whole_day else day.date() + timedelta(days=1))
    at = moment.astimezone(UTC)
    return ibis.literal(at, type=kind) if kind.timezone else ibis.literal(at.replace(tzinfo=None), type=kind)


def _strategy(engine: str) -> Any:
    """Return how an engine counts: by its own binary search, in its workers, or by comparisons."""
    if engine == "duckdb":
        from homeostat.adapters.engines.duckdb_counts import count_in_process

        return count_in_process
    if engine == "postgres":
        from homeostat.adapters.engines.postgres_counts import count_in_postgres

        return count_in_postgres
    if engine == "spark":
        from homeostat.adapters.engines.spark_counts import count_in_workers

        return count_in_workers
    from homeostat.adapters.engines.ibis_counts import count_by_comparisons

    return count_by_comparisons
