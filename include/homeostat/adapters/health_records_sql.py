"""Health records in SQL: written one at a time, read in a number of queries that never grows."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from homeostat.adapters.health_records import (
    DAY_MS,
    KEPT_IN_FULL,
    RANK_UNIT,
    from_millis,
    millis,
    part_length,
)
from homeostat.adapters.ledger_tables import LEASES, RECORDS, TRAFFIC
from homeostat.core.retention import Retention
from homeostat.core.rollout.phases import Traffic
from homeostat.ports import FleetEntry, HealthRecord, RecordKind

_ORDER = RECORDS.c.rank * RANK_UNIT + RECORDS.c.at


def save(db: sa.Connection, record: HealthRecord) -> None:
    """Write a record, and thin the old windows of its model."""
    dialect = postgresql if db.dialect.name == "postgresql" else sqlite
    key = {"model": record.model, "kind": str(record.kind), "key": record.key}
    values = {
        "at": millis(record.at),
        "rank": record.rank,
        "body": json.dumps(dict(record.body), allow_nan=False),
    }
    insert = dialect.insert(RECORDS).values(**key, **values)
    db.execute(insert.on_conflict_do_update(index_elements=list(key), set_=values))
    if record.kind is RecordKind.WINDOW:
        old = _of(record.model, record.kind) & (RECORDS.c.at < millis(record.at - KEPT_IN_FULL))
        kept = sa.select(sa.func.max(_ORDER)).where(old).group_by(RECORDS.c.at // DAY_MS)
        db.execute(sa.delete(RECORDS).where(old, _ORDER.not_in(kept)))


def read(
    db: sa.Connection, model: str, kind: RecordKind, since: datetime | None, limit: int
) -> tuple[list[HealthRecord], int]:
    """See :meth:`homeostat.ports.Ledger.records`."""
    asked = _of(model, kind)
    if since is not None:
        asked &= RECORDS.c.at >= millis(since)
    counted = sa.select(sa.func.count(), sa.func.min(RECORDS.c.at), sa.func.max(RECORDS.c.at)).where(asked)
    count, first, last = db.execute(counted).one()
    query = sa.select(RECORDS).where(asked).order_by(RECORDS.c.at, RECORDS.c.key)
    if count > limit:
        part = (RECORDS.c.at - first) // part_length(first, last, limit)
        best = sa.select(sa.func.max(_ORDER)).where(asked).group_by(part)
        query = query.where(_ORDER.in_(best) | (RECORDS.c.at == last))
    return [_record(row) for row in db.execute(query).mappings()], count


def delete_windows(db: sa.Connection, model: str, retention: Retention) -> int:
    """See :meth:`homeostat.ports.Ledger.delete_windows`."""
    old = _of(model, RecordKind.WINDOW) & (RECORDS.c.at < millis(retention.before))
    kept = [millis(end) for end in sorted(retention.kept) if end < retention.before]
    return int(db.execute(sa.delete(RECORDS).where(old, RECORDS.c.at.not_in(kept))).rowcount)


def fleet(db: sa.Connection, at: datetime) -> dict[str, FleetEntry]:
    """See :meth:`homeostat.ports.Ledger.fleet`: three queries, and one look-up in the index per model."""
    traffic = {row.model: row.state for row in db.execute(sa.select(TRAFFIC.c.model, TRAFFIC.c.state))}
    leases = {row["model"]: _holder(row, at) for row in db.execute(sa.select(LEASES)).mappings()}
    newest: dict[str, dict[RecordKind, HealthRecord]] = {}
    names = sa.union(sa.select(TRAFFIC.c.model), sa.select(LEASES.c.model)).subquery()
    for kind in (RecordKind.WINDOW, RecordKind.RETRAIN):
        other = RECORDS.alias()
        latest = (
            sa.select(sa.func.max(other.c.at))
            .where(other.c.model == names.c.model, other.c.kind == str(kind))
            .scalar_subquery()
        )
        query = sa.select(RECORDS).join_from(
            names,
            RECORDS,
            (RECORDS.c.model == names.c.model) & (RECORDS.c.kind == str(kind)) & (RECORDS.c.at == latest),
        )
        for row in db.execute(query.order_by(RECORDS.c.key)).mappings():
            newest.setdefault(row["model"], {})[kind] = _record(row)
    return {
        model: FleetEntry(
            Traffic.from_json(json.loads(traffic[model])) if model in traffic else Traffic(model),
            newest.get(model, {}),
            leases.get(model),
        )
        for model in sorted(traffic.keys() | leases.keys())
    }


def _of(model: str, kind: RecordKind) -> sa.ColumnElement[bool]:
    return (RECORDS.c.model == model) & (RECORDS.c.kind == str(kind))


def _holder(row: sa.RowMapping, at: datetime) -> str | None:
    until = datetime.fromisoformat(row["until"])
    return str(row["holder"]) if row["holder"] and until > at.astimezone(UTC) else None


def _record(row: sa.RowMapping) -> HealthRecord:
    return HealthRecord(
        model=row["model"],
        kind=RecordKind(row["kind"]),
        key=row["key"],
        at=from_millis(row["at"]),
        body=json.loads(row["body"]),
        rank=row["rank"],
    )
