"""Create the data of the drift benchmark: 30 numbers and 5 categories, written once as Parquet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = {"reference": 200_000, "same": 100_000, "shifted": 100_000}
#: Numbers and categories that move in the shifted window: more than half, so that a tool that requires
#: half of all columns to drift can alert.
MOVED_NUMBERS, MOVED_CATEGORIES = 18, 3
SHIFT = 0.5  # standard deviations
LEVELS = (3, 8, 25, 100, 400)
#: Rows created and written at a time.
BLOCK = 1_000_000

Draw = Callable[[np.random.Generator, int], np.ndarray]

# Of each ten two are counts, one is rounded as prices are, one is mostly zero: real columns have ties.
SHAPES: tuple[Draw, ...] = (
    lambda rng, n: rng.normal(50, 10, n),
    lambda rng, n: rng.lognormal(3, 1, n),
    lambda rng, n: rng.poisson(20, n).astype(float),
    lambda rng, n: rng.standard_t(3, n),
    lambda rng, n: rng.uniform(0, 1, n),
    lambda rng, n: rng.gamma(2, 30, n),
    lambda rng, n: rng.exponential(40, n).round(2),
    lambda rng, n: rng.normal(0, 1, n),
    lambda rng, n: np.where(rng.random(n) < 0.6, 0.0, rng.lognormal(1, 1, n)),
    lambda rng, n: rng.integers(18, 90, n).astype(float),
)


def block(rng: np.random.Generator, rows: int, *, shift: float = 0.0, missing: float = 0.0) -> pd.DataFrame:
    """Return some rows; ``missing`` is the share of empty values in every fifth number."""
    columns: dict[str, np.ndarray | pd.Series] = {}
    for at in range(30):
        values = SHAPES[at % len(SHAPES)](rng, rows)
        if shift and at < MOVED_NUMBERS:
            values = values + shift * values.std()
        if missing and at % 5 == 0:
            values[rng.random(rows) < missing] = np.nan
        columns[f"number_{at:02}"] = values
    for at, levels in enumerate(LEVELS):
        share = 1.0 / np.arange(1, levels + 1)
        if shift and at < MOVED_CATEGORIES:
            share[0] *= 1 + 2 * shift
        labels = np.array([f"level-{level}" for level in range(levels)])
        picked = labels[rng.choice(levels, rows, p=share / share.sum())]
        columns[f"category_{at}"] = pd.Series(picked, dtype="str")
    return pd.DataFrame(columns)


def write_all(folder: Path) -> None:
    """Write the reference and the two windows, unless they are there."""
    for seed, (name, rows) in enumerate(ROWS.items()):
        path = folder / f"{name}.parquet"
        if not path.exists():
            shift = SHIFT if name == "shifted" else 0.0
            folder.mkdir(parents=True, exist_ok=True)
            block(np.random.default_rng(seed), rows, shift=shift).to_parquet(path, index=False)


def write_long(folder: Path, rows: int) -> Path:
    """One file of many rows with holes in it, by pyarrow's defaults; returns its path."""
    path = folder / f"rows_{rows}.parquet"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        rng = np.random.default_rng(rows)
        first = pa.Table.from_pandas(block(rng, min(rows, BLOCK), missing=0.02), preserve_index=False)
        with pq.ParquetWriter(part, first.schema) as writer:
            writer.write_table(first)
            for _ in range(BLOCK, rows, BLOCK):
                more = block(rng, BLOCK, missing=0.02)
                writer.write_table(pa.Table.from_pandas(more, schema=first.schema, preserve_index=False))
        part.rename(path)
    return path
