"""A seeded sample of an engine's rows, stratified by a column, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from homeostat.adapters.engines.batches import read_batches
from homeostat.adapters.engines.errors import engine_errors
from homeostat.core.profile.arrow import label_scalars
from homeostat.core.profile.coerce import Ints, label_of

if TYPE_CHECKING:
    from homeostat.adapters.engines.table import EngineTable

_ROWS = 65_536

Label = str | None


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of a table: all of them, or a sample.

    Attributes
    ----------
    total
        Rows of the table.
    strata
        The rows of each label of the column that the sample is stratified by, and those in the sample.
    """

    rows: pa.Table
    total: int
    seed: int
    strata: Mapping[Label, tuple[int, int]] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether it has all rows."""
        return bool(self.rows.num_rows == self.total)


def read_sample(
    table: EngineTable, columns: Sequence[str], most: int, *, seed: int = 0, strata: str = ""
) -> Sample:
    """Read at most ``most`` rows of these columns, each row with the same chance.

    The engine draws where it can draw with a seed (PostgreSQL, Spark); from others all rows pass through, a
    batch at a time. The same table in the same order of rows gives the same sample.

    Parameters
    ----------
    strata
        A column: its labels have the shares in the sample that they have in the table, to the row where the
        engine's draw has enough of them.
    """
    table.require([*columns, *([strata] if strata else [])])
    totals = _totals(table, strata)
    total = sum(totals.values())
    with engine_errors(table.location):
        if total <= most:
            rows = _join(list(read_batches(table, columns, _ROWS)), table, columns)
            return Sample(rows, total, seed)
        shares = _shares(totals, most)
        read = list(dict.fromkeys([*columns, *([strata] if strata else [])]))
        rates = {label: _rate(shares[label], n) for label, n in totals.items()}
        drawn = _join(list(_draw(table, read, strata, rates, seed)), table, read)
    return _trimmed(drawn, columns, strata, totals, shares, seed)


def _totals(table: EngineTable, strata: str) -> dict[Label, int]:
    """Return the rows of each label; all rows under None without strata."""
    if not strata:
        return {None: table.count_rows()}
    rows = table.relation
    counted = rows.group_by(label=rows[strata]).agg(n=rows.count())
    found: dict[Label, int] = {}
    part = table.with_relation(counted)
    for batch in part.batches(["label", "n"]):
        labels = [label_of(value) for value in label_scalars(batch.column(0))]
        for label, n in zip(labels, batch.column(1).to_pylist(), strict=True):
            found[label] = found.get(label, 0) + n
    return found


def _shares(totals: Mapping[Label, int], most: int) -> dict[Label, int]:
    """Return each stratum's rows in a sample of ``most``: its share, by the largest remainders."""
    total = sum(totals.values())
    exact = {label: most * n / total for label, n in totals.items()}
    found = {label: int(share) for label, share in exact.items()}
    left = most - sum(found.values())
    ranked = sorted(exact, key=lambda label: (found[label] - exact[label], str(label)))
    return {label: found[label] + (label in ranked[:left]) for label in totals}


def _rate(wanted: int, n: int) -> float:
    """Return the chance of a row to be drawn: so high that too few come less than once in a million times."""
    return min(1.0, (wanted + 6 * math.sqrt(wanted) + 20) / n)


def _draw(
    table: EngineTable, columns: Sequence[str], strata: str, rates: Mapping[Label, float], seed: int
) -> Iterator[pa.RecordBatch]:
    engine = table.location.engine
    if engine == "postgres":
        yield from _draw_in_postgres(table, columns, max(rates.values()), seed)
        return
    if engine == "spark":
        from homeostat.adapters.engines.spark_rows import arrow_batches

        rows = table.backend.compile(table.relation.select(*columns))
        rate = max(rates.values())
        yield from arrow_batches(
            table.backend,
            f"SELECT * FROM ({rows}) WHERE rand({seed}) < {rate!r}",  # noqa: S608  # Ibis's own SQL
            _ROWS,
        )
        return
    random = np.random.Generator(np.random.Philox(seed))
    for batch in read_batches(table, columns, _ROWS):
        labels, codes = _codes(batch, strata)
        chance = np.array([rates.get(label, 0.0) for label in labels])[codes]
        yield batch.filter(pa.array(random.random(batch.num_rows) < chance))


def _draw_in_postgres(
    table: EngineTable, columns: Sequence[str], rate: float, seed: int
) -> Iterator[pa.RecordBatch]:
    """Draw by random() after setseed(), which one process does, in the order of the rows."""
    rows = table.backend.compile(table.relation.select(*columns))
    drawn = table.backend.sql(
        f"SELECT * FROM ({rows}) AS homeostat_rows WHERE random() < {rate!r}"  # noqa: S608  # Ibis's own SQL
    )
    table.backend.con.execute("SET synchronize_seqscans = off")
    table.backend.con.execute(f"SELECT setseed({(seed % 1_000_003) / 1_000_003!r})")
    yield from read_batches(table.with_relation(drawn), columns, _ROWS)


def _trimmed(
    drawn: pa.Table,
    columns: Sequence[str],
    strata: str,
    totals: Mapping[Label, int],
    shares: Mapping[Label, int],
    seed: int,
) -> Sample:
    """Leave out what was drawn too much, by chance, and keep the order."""
    random = np.random.Generator(np.random.Philox(seed + 1))
    labels, codes = _codes(drawn, strata)
    kept, counts = [], {}
    for at, label in enumerate(labels):
        rows = np.flatnonzero(codes == at)
        chosen = rows[np.sort(random.permutation(rows.size)[: shares.get(label, 0)])]
        kept.append(chosen)
        if label in totals:
            counts[label] = (totals[label], chosen.size)
    at_all = np.sort(np.concatenate(kept)) if kept else np.empty(0, np.int64)
    rows = drawn.take(pa.array(at_all)).select(list(columns))
    return Sample(rows, sum(totals.values()), seed, counts if strata else {})


def _codes(rows: pa.Table | pa.RecordBatch, strata: str) -> tuple[list[Label], Ints]:
    """Return the labels of a column in a stable order, and the place of each row's label."""
    if not strata:
        return [None], np.zeros(rows.num_rows, dtype=np.int64)
    column = rows.column(strata)
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    spelled = [*(label_of(value) for value in label_scalars(encoded.dictionary)), None]
    labels = sorted(set(spelled), key=lambda label: (label is None, label or ""))
    place: dict[Label, int] = {label: at for at, label in enumerate(labels)}
    of_code = np.array([place[label] for label in spelled], dtype=np.int64)
    codes = encoded.indices.fill_null(len(spelled) - 1).cast(pa.int64()).to_numpy(zero_copy_only=False)
    return labels, of_code[codes]


def _join(batches: list[pa.RecordBatch], table: EngineTable, columns: Sequence[str]) -> pa.Table:
    if batches:
        return pa.Table.from_batches(batches)
    return pa.schema([(name, table.arrow_types[name]) for name in columns]).empty_table()
