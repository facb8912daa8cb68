"""One small table, and the three entries that read it: drift checks, training and backtests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from homeostat.adapters.configured_source import ConfiguredSource
from homeostat.adapters.store_memory import MemoryStore
from homeostat.adapters.tables import open_table
from homeostat.cli.commands.backtest_history import read_history
from homeostat.cli.commands.drift_compare import compare_tables
from homeostat.config import ModelConfig
from homeostat.config.model import Monitor
from homeostat.core.training_data import coerce_rows

NAMES = ["at", "x", "g", "y"]
ROWS = [[f"2024-01-01T{n % 24:02}:{n // 24:02}:00Z", str(n / 8), "ab"[n % 2], str(n % 2)] for n in range(240)]


def lines(separator: str, rows: list[list[str]]) -> str:
    return "".join(separator.join(row) + "\n" for row in rows)


PLAIN = lines(",", [NAMES, *ROWS])


def model(uri: str) -> ModelConfig:
    features = {"x": {"type": "number"}, "g": {"type": "category"}}
    return ModelConfig.model_validate(
        {
            "name": "entry",
            "task": "classification",
            "pipeline": "pipeline.py:build",
            "source": {"kind": "csv", "uri": uri},
            "schema": {"timestamp": "at", "label": {"name": "y"}, "features": features},
        }
    )


def drift(uri: str) -> Any:
    found = compare_tables(open_table(uri), open_table(uri), Monitor(), model(uri), lambda _: None)
    return found.rows, [(column.name, column.kind, column.reference) for column in found.columns]


def train(uri: str) -> Any:
    return typed(ConfiguredSource(MemoryStore()).read(model(uri), None, None), uri)


def backtest(uri: str) -> Any:
    return typed(read_history(model(uri), uri)[0], uri)


def typed(rows: pd.DataFrame, uri: str) -> list[dict[Any, Any]]:
    return coerce_rows(rows, model(uri), label=True).rows.to_dict("records")


def write(path: Path, content: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


ENTRIES = [drift, train, backtest]
