"""Evidence as rows that stay few: by the second at first, by the minute and the hour as they grow old.

A day in shadow would otherwise be 86,400 rows per variant and gateway, all of them read at every tick.
A gateway folds its own rows and no other's, in the transaction that adds the newest.
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
#: (finer span, coarser span, age in seconds from which on the coarser one will do)
_FOLDS = ((1, MINUTE, 5 * MINUTE), (MINUTE, HOUR, 2 * HOUR))

Owner = tuple[str, str, str]  # model, rollout, gateway


def insert_if_absent(db: sa.Connection, table: sa.Table) -> Any:
    """An INSERT that does nothing when the primary key is taken, in the dialect's own words."""
    dialect = postgresql if db.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()


def is_new(db: sa.Connection, owner: Owner, batch: int) -> bool:
    """Whether the owner has not added this batch yet; from now on it has."""
    key = dict(zip(("model", "rollout", "gateway"), owner, strict=True))
    db.execute(insert_if_absent(db, BATCHES).values(**key, batch=0))
    here = sa.and_(*(BATCHES.c[name] == value for name, value in key.items()), BATCHES.c.batch < batch)
    return bool(db.execute(sa.update(BATCHES).where(here).values(batch=batch)).rowcount)


def add(db: sa.Connection, owner: Owner, second: int, tallies: Mapping[tuple[str, str], Tally]) -> None:
    """Add counts to the owner's row of this second."""
    for (stage, variant), tally in sorted(tallies.items()):
        _add_row(db, owner, (second, 1, stage, variant), tally.to_json())


def total(db: sa.Connection, model: str, rollout: str, since: int | None) -> Evidence:
    """Sum over all gateways; a folded row counts when any part of it is at or after ``since``."""
    table = EVIDENCE.c
    query = sa.select(table.stage, table.variant, table.tally)
    query = query.where(table.model == model, table.rollout == rollout)
    if since is not None:
        query = query.where(table.second + table.span > since)
    rows: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for stage, variant, tally in db.execute(query):
        rows[stage, variant].append(json.loads(tally))
    return {key: Tally.from_json(_sum(raws)) for key, raws in rows.items()}


def fold(db: sa.Connection, owner: Owner, now: int) -> None:
    """Fold the owner's old rows into coarser ones; the sum does not change."""
    for fine, coarse, age in _FOLDS:
        before = (now - age) // coarse * coarse  # whole minutes or hours only
        old = _of(owner) & (EVIDENCE.c.span == fine) & (EVIDENCE.c.second < before)
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
    # The row is made first and locked then: two threads of one gateway wait for each other.
    made = db.execute(insert_if_absent(db, EVIDENCE).values(**key, tally=json.dumps(dict(raw))))
    if made.rowcount == 1:
        return
    here = sa.and_(*(EVIDENCE.c[name] == value for name, value in key.items()))
    there = json.loads(db.scalars(sa.select(EVIDENCE.c.tally).where(here).with_for_update()).one())
    db.execute(sa.update(EVIDENCE).where(here).values(tally=json.dumps(_sum([there, raw]))))


def _of(owner: Owner) -> sa.ColumnElement[bool]:
    model, rollout, gateway = owner
    return (EVIDENCE.c.model == model) & (EVIDENCE.c.rollout == rollout) & (EVIDENCE.c.gateway == gateway)


def _sum(raws: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Add tallies in their JSON form, whatever fields they have; numpy, for there may be thousands."""
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
