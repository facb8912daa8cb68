"""Count a table of PostgreSQL in one query: ``width_bucket`` places numbers, GROUPING SETS count columns.

Most of the time is the search among up to 256 thresholds, and then hashing: see benchmarks/sources.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from homeostat.adapters.engines.grouped_rows import KEYS, CountedColumn, GroupCounts
from homeostat.adapters.engines.postgres_parts import PARTS_SETTINGS, disjoint_parts
from homeostat.core.profile import CategoryEdges, NumberEdges, ProfileEdges
from homeostat.core.profile.coerce import MAX_LABEL_BYTES
from homeostat.core.profile.grouped import ColumnGroup, GroupedProfiles, Grouping, SliceGroup
from homeostat.core.profile.season import HOURS
from homeostat.core.profile.thresholds import Thresholds, float32_steps, float_thresholds, step_thresholds

if TYPE_CHECKING:
    from homeostat.adapters.engines.table import EngineTable

_FETCHED = 10_000
_WHOLE = re.compile(r"0|-?[1-9][0-9]*")
#: Stands for all texts without a slot.
_OTHER = "another value"
#: Beyond these a numeric has no float8, and the cast would be an error instead of what the local path reads.
_LARGEST, _SMALLEST = "1.7976931348623158079e308", "2.4703282292062328e-324"
_MICROS = 2**63 - 2
_MONDAY_HOURS = 4 * 24  # 1970-01-05 was a Monday
#: All sets are hashed in one scan: a sort for each would read the rows again and again, and to compile the
#: expressions takes longer than to count a million rows. What other processes do is worth their start.
_SETTINGS = (
    "SET LOCAL enable_sort = off; SET LOCAL enable_hashagg = on; SET LOCAL work_mem = '256MB'; "
    "SET LOCAL jit = off; SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0"
)


@dataclass(frozen=True, slots=True)
class _Column:
    """How a column is counted: the SQL of its slot or value, and what to do with what comes back."""

    sql: str
    counted: CountedColumn


def count_in_postgres(table: EngineTable, edges: ProfileEdges, by: Sequence[Grouping]) -> GroupedProfiles:
    """See :meth:`~homeostat.adapters.engines.table.EngineTable.profile_groups`."""
    columns = _columns(table, edges)
    found = GroupCounts(table.uri, edges, by, {name: each.counted for name, each in columns.items()})
    without_slots = (at for at, each in enumerate(columns.values()) if each.counted.slots is None)
    text_of_column = {column: at for at, column in enumerate(without_slots)}
    settings, query = count_sql(table, edges, by)
    with table.backend.con.transaction():
        table.backend.con.execute(settings)
        for row in _rows(table.backend.con, query):
            keys, (column, rows, slot), texts = row[: len(by)], row[len(by) : len(by) + 3], row[len(by) + 3 :]
            text = text_of_column.get(column)
            found.add(keys, column, slot if text is None else texts[text], rows)
    return found.profiles()


def count_sql(table: EngineTable, edges: ProfileEdges, by: Sequence[Grouping]) -> tuple[str, str]:
    """Return the settings of the transaction and the query, see :func:`_query`; parts repeat its rows."""
    parts, columns = disjoint_parts(table), list(_columns(table, edges).values())
    settings = _SETTINGS if len(parts) == 1 else f"{_SETTINGS}; {PARTS_SETTINGS}"
    return settings, " UNION ALL ".join(_query(table, part, columns, by) for part in parts)


def _columns(table: EngineTable, edges: ProfileEdges) -> dict[str, _Column]:
    kinds = table.relation.schema()
    return {name: _column(name, kinds[name], each) for name, each in edges.features.items() if name in kinds}


def _rows(connection: Any, sql: str) -> Iterator[tuple[Any, ...]]:
    """Fetch rows while they come: a cursor of the server would keep the query in one process."""
    from psycopg import capabilities

    with connection.cursor() as cursor:
        yield from cursor.stream(sql, size=_FETCHED if capabilities.has_stream_chunked() else 1)


def _query(table: EngineTable, relation: Any, columns: Sequence[_Column], by: Sequence[Grouping]) -> str:
    """Return the query: one row per group and slot or value, and one per group with its rows.

    A row has the group's keys, the place of its column (their number for the rows of a group), the rows, the
    slot, and the value of each column without slots; only that of its own column is set. ``OFFSET`` keeps the
    planner from taking a slot for as many values as its column has, for which it would sort; written as a
    number, it would keep the query in one process.
    """
    kinds = table.relation.schema()
    keys = [f"{_key(each, kinds)} AS {KEYS}{at}" for at, each in enumerate(by)]
    inner = [*keys, *(f"{each.sql} AS s{at}" for at, each in enumerate(columns))] or ["1 AS one"]
    names, slots = [f"{KEYS}{at}" for at in range(len(by))], [f"s{at}" for at in range(len(columns))]
    which = " ".join(f"WHEN GROUPING({slot}) = 0 THEN {at}" for at, slot in enumerate(slots))
    place = f"CASE {which} ELSE {len(slots)} END" if slots else "0"
    sets = [f"({', '.join([*names, slot])})" for slot in slots] + [f"({', '.join(names)})"]
    values = [slot for slot, each in zip(slots, columns, strict=True) if each.counted.slots is None]
    numbers = [slot for slot in slots if slot not in values]
    slot = f"coalesce({', '.join(numbers)})" if numbers else "NULL::int4"
    outer = ", ".join([*names, f"{place} AS place", "count(*) AS n", f"{slot} AS slot", *values])
    rows = table.backend.compile(relation)
    slots_of_rows = f"SELECT {', '.join(inner)} FROM ({rows}) AS homeostat_rows OFFSET '0'"  # noqa: S608
    return (
        f"SELECT {outer} FROM ({slots_of_rows}) AS homeostat_slots "  # noqa: S608
        f"GROUP BY GROUPING SETS ({', '.join(sets)})"
    )


def _key(by: Grouping, kinds: Any) -> str:
    name = _quoted(by.column)
    if isinstance(by, ColumnGroup):
        return f'{name} COLLATE "C"' if kinds[by.column].is_string() else name
    if isinstance(by, SliceGroup):
        return _slice_key(by, name, kinds[by.column])
    hours = f"floor(extract(epoch FROM {name}) / 3600)::int8 - {_MONDAY_HOURS}"
    period = HOURS[by.kind]
    return (
        f"CASE WHEN NOT isfinite({name}) THEN NULL ELSE "
        f"((({hours}) % {period} + {period}) % {period} / {by.width})::int4 END"
    )


def _slice_key(by: SliceGroup, quoted: str, kind: Any) -> str:
    """Return the SQL of a category's value, or of the place of a number's slice, NULL where it is missing."""
    if by.slicing.kind == "category":
        return _value(quoted, kind, CategoryEdges(by.slicing.labels, open=True))
    number, array, thresholds = _number(quoted, kind, NumberEdges(by.slicing.cuts, complete=False))
    cuts_below = ",".join(str(slot // 2) for slot in thresholds.slots)
    return f"(ARRAY[{cuts_below}])[{_bucket(number, array, thresholds)} + 1]"


def _bucket(number: str, array: str, thresholds: Thresholds) -> str:
    if not thresholds.values:
        return f"CASE WHEN {number} IS NULL THEN NULL ELSE 0 END"
    bounds = ",".join(map(repr, thresholds.values)).replace("inf", "'Infinity'")
    return f"width_bucket({number}, ARRAY[{bounds}]::{array}[])"


def _column(name: str, kind: Any, edges: NumberEdges | CategoryEdges) -> _Column:
    quoted = _quoted(name)
    if isinstance(edges, CategoryEdges):
        return _Column(_value(quoted, kind, edges), CountedColumn(kind))
    if kind.is_string() or kind.is_uuid() or kind.is_time() or kind.is_null():
        return _Column(_value(quoted, kind, None), CountedColumn(kind))
    number, array, thresholds = _number(quoted, kind, edges)
    slot = _bucket(number, array, thresholds)
    return _Column(slot, CountedColumn(kind, np.array(thresholds.slots)))


def _number(quoted: str, kind: Any, edges: NumberEdges) -> tuple[str, str, Thresholds]:
    """Return a number's SQL (NULL where it is missing), its type, and the thresholds on that scale."""
    if kind.is_timestamp() or kind.is_date():
        micros = f"(extract(epoch FROM {quoted}) * 1000000)::int8"
        sql = (
            f"CASE WHEN isfinite({quoted}) THEN {micros} WHEN {quoted} > 'epoch' "
            f"THEN {_MICROS} WHEN {quoted} < 'epoch' THEN -{_MICROS} END"
        )
        return sql, "int8", step_thresholds(edges, lambda step: step / 1e6, -_MICROS, _MICROS)
    if kind.is_boolean():
        return f"{quoted}::int4::float8", "float8", float_thresholds(edges)
    if kind.is_integer():
        return f"{quoted}::float8", "float8", float_thresholds(edges)
    nan_is_null = f"nullif({quoted}, 'NaN')::float8"
    if kind.is_floating():
        thresholds = float32_steps(edges) if kind.is_float32() else float_thresholds(edges)
        return nan_is_null, "float8", thresholds
    sql = (
        f"CASE WHEN {quoted} = 'NaN' THEN NULL WHEN {quoted} >= {_LARGEST} THEN 'Infinity'::float8 "
        f"WHEN {quoted} <= -{_LARGEST} THEN '-Infinity'::float8 "
        f"WHEN abs({quoted}) <= {_SMALLEST} THEN 0 ELSE {quoted}::float8 END"
    )
    return sql, "float8", float_thresholds(edges)


def _value(quoted: str, kind: Any, edges: CategoryEdges | None) -> str:
    """Return the SQL of a value; values that have no slot are one value where that counts them the same."""
    if kind.is_string():
        # Two texts that a collation takes for one are two; padded ones keep their length.
        quoted = f'{quoted}{"" if kind.length else "::text"} COLLATE "C"'
    same = edges is not None and (edges.open or not edges.rest)
    if edges is None or not same or not (kind.is_string() or kind.is_integer()):
        return quoted
    return _few_integers(quoted, kind, edges) if kind.is_integer() else _few_texts(quoted, edges)


def _few_integers(quoted: str, kind: Any, edges: CategoryEdges) -> str:
    low, high = kind.bounds
    own = [label for label in edges.labels if _WHOLE.fullmatch(label) and low <= int(label) <= high]
    other = next(each for each in range(len(own) + 1) if str(each) not in own)
    # In quotes a label has the column's type; the smallest bigint without them is a numeric.
    known = f"{quoted} IN ({', '.join(map(_literal, own))})" if own else "false"
    return f"CASE WHEN {known} THEN {quoted} WHEN {quoted} IS NOT NULL THEN {other} END"


def _few_texts(quoted: str, edges: CategoryEdges) -> str:
    """Return the SQL of a text; only what may be spelled as another label comes back as it is."""
    own = ", ".join(map(_literal, edges.labels)) or "''"
    other = _OTHER
    while other in edges.labels:
        other += "."
    return (
        f"CASE WHEN {quoted} IN ({own}) OR octet_length({quoted}) > {MAX_LABEL_BYTES} "
        f"OR ({quoted} ~* '^(-?[0-9]|-?[0-9].*[0-9]|true|false|)$' AND {quoted} !~ '^-?[1-9][0-9]*$') "
        f"THEN {quoted} WHEN {quoted} IS NOT NULL THEN {_literal(other)} END"
    )


def _literal(text: str) -> str:
    """Return a text as SQL: its backslashes are plain in standard strings."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
