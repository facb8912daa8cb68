"""Count a table of any other engine of Ibis: comparisons place a number, a GROUP BY per column counts.

All columns are one query. Engines with columnar storage read each column once; others scan once per column.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from homeostat.adapters.engines.grouped_rows import KEYS, CountedColumn, GroupCounts
from homeostat.config.errors import DataError
from homeostat.core.profile import CategoryEdges, NumberEdges, ProfileEdges
from homeostat.core.profile.grouped import ColumnGroup, GroupedProfiles, Grouping, SliceGroup
from homeostat.core.profile.thresholds import Thresholds, float32_steps, float_thresholds, step_thresholds

if TYPE_CHECKING:
    from homeostat.adapters.engines.table import EngineTable

_INT64 = 2**63 - 1


def count_by_comparisons(table: EngineTable, edges: ProfileEdges, by: Sequence[Grouping]) -> GroupedProfiles:
    """See :meth:`~homeostat.adapters.engines.table.EngineTable.profile_groups`."""
    import ibis

    kinds = table.relation.schema()
    _require_plain_groups(table, by)
    counted: dict[str, CountedColumn] = {}
    parts: list[Any] = []
    for name, each in edges.features.items():
        if name in kinds:
            slot, text, counted[name] = _column(table, name, each)
            parts.append(_grouped(table, by, len(parts), slot, text))
    parts.append(_grouped(table, by, len(parts), ibis.null("int64"), ibis.null("string")))
    found = GroupCounts(table.uri, edges, by, counted)
    names = list(counted)
    query = ibis.union(*parts, distinct=False) if len(parts) > 1 else parts[0]
    for row in query.to_pyarrow().to_pylist():
        keys = [row[f"{KEYS}{at}"] for at in range(len(by))]
        column = counted[names[row["place"]]] if row["place"] < len(names) else None
        value = row["value"] if column is None or not column.kind.is_string() else row["label"]
        found.add(keys, row["place"], value, row["n"])
    return found.profiles()


def _grouped(table: EngineTable, by: Sequence[Grouping], place: int, slot: Any, text: Any) -> Any:
    import ibis

    keys = {f"{KEYS}{at}": table.relation[each.column].cast("string") for at, each in enumerate(by)}
    rows = table.relation.select(**keys, value=slot.cast("int64"), label=text.cast("string"))
    grouped = rows.group_by([*keys, "value", "label"]).agg(n=rows.count())
    return grouped.mutate(place=ibis.literal(place, "int64")).select(*keys, "place", "value", "label", "n")


def _column(
    table: EngineTable, name: str, edges: NumberEdges | CategoryEdges
) -> tuple[Any, Any, CountedColumn]:
    """Return the slot, or a whole number, and the text of a column, and what they mean."""
    import ibis

    kind, column = table.relation.schema()[name], table.relation[name]
    no_slot, no_text = ibis.null("int64"), ibis.null("string")
    if kind.is_string():
        return no_slot, column, CountedColumn(kind)
    whole = kind.is_integer() or kind.is_boolean()
    if isinstance(edges, CategoryEdges):
        if not whole:
            _refuse(table, name, kind, "a category is text, whole numbers or booleans")
        return column.cast("int64"), no_text, CountedColumn(ibis.dtype("int64"))
    if whole:
        column = column.cast("int64")
    compared, missing, thresholds = _number(table, name, column, kind, edges)
    slot = ibis.ifelse(missing, no_slot, _search(compared, thresholds.values, 0, len(thresholds.values)))
    return slot, no_text, CountedColumn(kind, np.array(thresholds.slots))


def _number(
    table: EngineTable, name: str, column: Any, kind: Any, edges: NumberEdges
) -> tuple[Any, Any, Thresholds]:
    """Return what is compared, where it is missing, and the thresholds in the column's own type."""
    if kind.is_floating():
        thresholds = float32_steps(edges) if kind.is_float32() else float_thresholds(edges)
        return column.cast("float64"), column.isnull() | column.isnan(), thresholds
    if kind.is_integer() or kind.is_boolean():
        steps = step_thresholds(edges, float, -_INT64 - 1, _INT64)
        return column, column.isnull(), _up_to(steps, _INT64)
    if kind.is_decimal() and kind.scale is not None:
        most, scale = 10 ** (kind.precision or 38) - 1, kind.scale
        steps = step_thresholds(edges, lambda step: float(_decimal(step, scale)), -most, most)
        inside = _up_to(steps, most)
        decimals: list[Any] = [_decimal(int(step), scale) for step in inside.values]
        return column, column.isnull(), Thresholds(tuple(decimals), inside.slots)
    _refuse(table, name, kind, "a number is an integer, a float, a boolean or a decimal with a scale")
    raise AssertionError


def _up_to(steps: Thresholds, most: int) -> Thresholds:
    """Leave out thresholds that no value of the type reaches."""
    return Thresholds(tuple(step for step in steps.values if step <= most), steps.slots)


def _decimal(step: int, scale: int) -> Decimal:
    return Decimal(step).scaleb(-scale)


def _search(column: Any, thresholds: Sequence[Any], low: int, high: int) -> Any:
    """Return how many thresholds lie on or below a value, as a tree of comparisons."""
    import ibis

    if low == high:
        return ibis.literal(low, "int64")
    middle = (low + high) // 2
    below = _search(column, thresholds, low, middle)
    above = _search(column, thresholds, middle + 1, high)
    return ibis.ifelse(_is_below(column, thresholds[middle]), below, above)


def _is_below(column: Any, threshold: Any) -> Any:
    """Compare with exactly this float: engines take a number in SQL for a decimal, and may round it."""
    import ibis

    if not isinstance(threshold, float):
        return column < threshold
    if threshold == math.inf:
        return column <= ibis.literal(repr(sys.float_info.max)).cast("float64")
    return column < ibis.literal(repr(threshold)).cast("float64")


def _require_plain_groups(table: EngineTable, by: Sequence[Grouping]) -> None:
    for each in by:
        kind = table.relation.schema()[each.column]
        plain = isinstance(each, ColumnGroup) or (
            isinstance(each, SliceGroup) and each.slicing.kind == "category"
        )
        if not plain or not (kind.is_string() or kind.is_integer()):
            _refuse(table, each.column, kind, "groups are made of text or whole numbers")


def _refuse(table: EngineTable, name: str, kind: Any, why: str) -> None:
    msg = (
        f"{table.uri}: column '{name}' of type {kind} is not counted by {table.location.engine} as it is "
        f"here: {why}; cast it in a query"
    )
    raise DataError(msg)
