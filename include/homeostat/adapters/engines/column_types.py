"""Which types of columns an engine may count, and the Arrow types of their values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from homeostat.config.errors import DataError
from homeostat.core.profile import ProfileEdges
from homeostat.core.profile.edges import FeatureEdges
from homeostat.core.profile.grouped import ColumnGroup, Grouping, SliceGroup

if TYPE_CHECKING:
    from homeostat.adapters.engines.table import EngineTable

_CAST = "cast it in a query (?query=SELECT ...)"


def arrow_type(kind: Any) -> pa.DataType:
    """Return the Arrow type of an Ibis type; ``null`` for one whose values are not read."""
    if kind.is_uuid() or kind.is_string():
        return pa.string()
    if kind.is_decimal() and kind.precision is None:
        return pa.float64()
    simple = (kind.is_numeric(), kind.is_boolean(), kind.is_temporal() and not kind.is_interval())
    return kind.to_pyarrow() if any(simple) else pa.null()


def require_countable(table: EngineTable, edges: ProfileEdges, by: Sequence[Grouping]) -> None:
    """Raise DataError for the first column that no engine counts as the local path does."""
    kinds = table.relation.schema()
    for name, each in edges.features.items():
        if name in kinds:
            _require_feature(table, name, kinds[name], each)
    for group in by:
        kind = kinds[group.column]
        if isinstance(group, SliceGroup) and group.slicing.kind == "number":
            if not (kind.is_numeric() or kind.is_boolean()):
                _refuse(table, group.column, kind, "is no number, which slices at its quartiles need")
        elif isinstance(group, ColumnGroup | SliceGroup):
            _require_label(table, group.column, kind)
        elif not (kind.is_timestamp() or kind.is_date()):
            _refuse(table, group.column, kind, "is not a time, which a season needs")


def _require_feature(table: EngineTable, name: str, kind: Any, edges: FeatureEdges) -> None:
    if edges.kind == "category":
        _require_label(table, name, kind)
    elif kind.is_null():
        return
    elif not (kind.is_uuid() or kind.is_string()) and pa.types.is_null(arrow_type(kind)):
        _refuse(table, name, kind, "is neither a number, a time nor text")


def _require_label(table: EngineTable, name: str, kind: Any) -> None:
    if _is_instant(table, name, kind):
        _refuse(table, name, kind, "is an instant: as a category its text depends on a time zone")
    if not kind.is_null() and pa.types.is_null(arrow_type(kind)):
        _refuse(table, name, kind, "is neither text, a number nor a time")


def _is_instant(table: EngineTable, name: str, kind: Any) -> bool:
    if not kind.is_timestamp():
        return False
    if table.location.engine != "spark":
        return kind.timezone is not None
    frame = table.backend._session.sql(table.backend.compile(table.relation))  # noqa: SLF001
    return bool(frame.schema[name].dataType.typeName() == "timestamp")  # Ibis calls both kinds the same


def _refuse(table: EngineTable, name: str, kind: Any, why: str) -> None:
    msg = f"{table.uri}: column '{name}' of type {kind} {why}; {_CAST}"
    raise DataError(msg)
