"""Rollout evidence in SQL: one row per second, compacted to minutes and then hours as it ages.

Without compaction a day in shadow would be 86,400 rows per variant and gateway, all read at every evaluation.
A gateway compacts only its own rows, in the transaction that adds the newest.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from homeostat.adapters.ledger_tables import BATCHES, EVIDENCE
from homeostat.core.rollout.evidence import Evidence, Tally

MINUTE, HOUR = 60, 3600
#: The second of counts that belong to the whole rollout: after any other, so that they always count and are
#: never compacted.
ALWAYS = 2**40
#: (fine span, coarse span, age from which rows are compacted to the coarse span), in seconds
_COMPACTIONS = ((1, MINUTE, 5 * MINUTE), (MINUTE, HOUR, 2 * HOUR))

Owner = tuple[str, str, str]  # model, rollout, gateway


def insert_if_absent(db: sa.Connection, table: sa.Table) -> Any:
    """Return an INSERT that does nothing when the primary key exists."""
    dialect = postgresql if db.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()


def record_batch(db: sa.Connection, owner: Owner, batch: int) -> bool:
    """Record a batch number of the owner; return whether it is new."""
    key = dict(zip(("model", "rollout", "gateway"), owner, strict=True))
    db.execute(insert_if_absent(db, BATCHES).values(**key, batch=0))
    older = sa.and_(*(BATCHES.c[name] == value for name, value in key.items()), BATCHES.c.batch < batch)
    return bool(db.execute(sa.update(BATCHES).where(older).values(batch=batch)).rowcount)


def add_tallies(
    db: sa.Connection, owner: Owner, second: int, tallies: Mapping[tuple[str, str], Tally]
) -> None:
    """Add counts to the owner's row of this second, per (stage, variant)."""
    for (stage, variant), tally in sorted(tallies.items()):
        _add_row(db, owner, (second, 1, stage, variant), tally.to_json())


def replace_tallies(db: sa.Connection, owner: Owner, tallies: Mapping[tuple[str, str], Tally]) -> None:
    """Write counts of the whole rollout in place of the owner's earlier ones, per (stage, variant)."""
    dialect = postgresql if db.dialect.name == "postgresql" else sqlite
    key = dict(zip(("model", "rollout", "gateway"), owner, strict=True))
    for (stage, variant), tally in sorted(tallies.items()):
        row = {**key, "second": ALWAYS, "span": 1, "stage": stage, "variant": variant}
        insert = dialect.insert(EVIDENCE).values(**row, tally=json.dumps(tally.to_json()))
        db.execute(
            insert.on_conflict_do_update(index_elements=list(row), set_={"tally": insert.excluded.tally})
        )


def sum_evidence(db: sa.Connection, model: str, rollout: str, since: int | None) -> Evidence:
    """Sum over all gateways; a compacted row counts when any part of it is at or after ``since``."""
    table = EVIDENCE.c
    query = sa.select(table.stage, table.variant, table.tally)
    query = query.where(table.model == model, table.rollout == rollout)
    if since is not None:
        query = query.where(table.second + table.span > since)
    rows: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for stage, variant, tally in db.execute(query):
        rows[stage, variant].append(json.loads(tally))
    return {key: Tally.from_json(_sum(raws)) for key, raws in rows.items()}


def compact(db: sa.Connection, owner: Owner, now: int) -> None:
    """Compact the owner's old rows into coarser spans; the sum does not change."""
    for fine, coarse, age in _COMPACTIONS:
        before = (now - age) // coarse * coarse  # whole minutes or hours only
        old = _rows_of(owner) & (EVIDENCE.c.span == fine) & (EVIDENCE.c.second < before)
        rows = db.execute(sa.select(EVIDENCE).where(old).with_for_update()).mappings().all()
        groups: dict[tuple[int, str, str], list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            start = row["second"] // coarse * coarse
            groups[start, row["stage"], row["variant"]].append(json.loads(row["tally"]))
        if rows:
            db.execute(sa.delete(EVIDENCE).where(old))
        for (start, stage, variant), raws in sorted(groups.items()):
            _add_row(db, owner, (start, coarse, stage, variant), _sum(raws))


def _add_row(
    db: sa.Connection, owner: Owner, slot: tuple[int, int, str, str], raw: Mapping[str, Any]
) -> None:
    second, span, stage, variant = slot
    key = {"second": second, "span": span, "stage": stage, "variant": variant}
    key |= dict(zip(("model", "rollout", "gateway"), owner, strict=True))
    # Insert first, then lock: two threads of one gateway wait for each other.
    inserted = db.execute(insert_if_absent(db, EVIDENCE).values(**key, tally=json.dumps(dict(raw))))
    if inserted.rowcount == 1:
        return
    row = sa.and_(*(EVIDENCE.c[name] == value for name, value in key.items()))
    stored = json.loads(db.scalars(sa.select(EVIDENCE.c.tally).where(row).with_for_update()).one())
    db.execute(sa.update(EVIDENCE).where(row).values(tally=json.dumps(_sum([stored, raw]))))


def _rows_of(owner: Owner) -> sa.ColumnElement[bool]:
    model, rollout, gateway = owner
    return (EVIDENCE.c.model == model) & (EVIDENCE.c.rollout == rollout) & (EVIDENCE.c.gateway == gateway)


def _sum(raws: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Add tallies in their JSON form, field by field (with numpy: there may be thousands)."""
    numbers: dict[str, int] = defaultdict(int)
    vectors: dict[str, list[list[int]]] = defaultdict(list)
    for raw in raws:
        for name, value in raw.items():
            if isinstance(value, list):
                vectors[name].append(value)
            else:
                numbers[name] += value
    summed: dict[str, Any] = dict(numbers)
    for name, lists in vectors.items():
        length = max(map(len, lists))
        padded = [values + [0] * (length - len(values)) for values in lists]
        summed[name] = np.array(padded, dtype=np.int64).sum(axis=0).tolist()
    return summed
