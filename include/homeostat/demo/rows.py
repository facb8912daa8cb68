"""The demo's rows: what the model begins with, the traffic, and how the concept changes in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from homeostat.adapters.configured_source import ConfiguredSource
from homeostat.adapters.store_memory import MemoryStore
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.demo.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

#: The file that the demo's model begins with, in its state folder.
HISTORY = "history.parquet"
#: How far the labels of a regression move, in standard deviations.
_SHIFT = 2.0


@dataclass(frozen=True, slots=True)
class ConceptChange:
    """From ``at`` on, rows with more than ``above`` in ``feature`` have other labels; inputs stay the same.

    ``swapped`` are the two classes that take each other's place; of a regression ``shift`` is added.
    """

    at: datetime
    feature: str
    above: float
    swapped: tuple[Any, Any] | None = None
    shift: float = 0.0

    @classmethod
    def of(cls, config: ModelConfig, rows: pd.DataFrame, at: datetime, feature: str = "") -> ConceptChange:
        """Return the change for a model: above the median of ``feature``, or else of its first number.

        Raises
        ------
        DataError
            The model has no number among its features, or a single class.
        """
        numbers = [name for name, each in config.columns.features.items() if each.type == "number"]
        if not numbers:
            msg = f"{config.name} has no number among its features: the demo cannot change the concept"
            raise DataError(msg)
        name, labels = feature or numbers[0], rows[config.columns.label.name].dropna()
        above = float(rows[name].astype("float64").median())
        if config.task == "regression":
            return cls(at, name, above, shift=_SHIFT * float(np.std(labels.to_numpy(np.float64))))
        classes = labels.value_counts().index[:2].tolist()
        if len(classes) < 2:
            msg = f"{config.name}: all labels are {classes}: the demo cannot change the concept"
            raise DataError(msg)
        return cls(at, name, above, (classes[0], classes[1]))

    def apply(self, config: ModelConfig, rows: pd.DataFrame) -> pd.DataFrame:
        """Return rows with the labels that they have after the change."""
        label, changed = config.columns.label.name, rows.copy()
        meant = (rows[config.columns.timestamp] >= self.at) & (
            rows[self.feature].astype("float64") > self.above
        )
        if self.swapped is None:
            changed[label] = rows[label].where(~meant, rows[label] + self.shift)
        else:
            one, other = self.swapped
            swapped = rows[label].replace({one: other, other: one})
            changed[label] = rows[label].where(~meant, swapped)
        return changed

    @property
    def sentence(self) -> str:
        """What has changed, in words."""
        change = f"labels are {self.shift:.3g} higher" if self.swapped is None else "the classes are swapped"
        return f"where {self.feature} is above {self.above:.3g}, {change}"


class DemoRows:
    """All rows of the demo in memory.

    Parameters
    ----------
    rows
        Rows with labels, sorted by time.
    first_until
        Rows before this time are those that the model begins with.
    """

    def __init__(self, config: ModelConfig, rows: pd.DataFrame, first_until: datetime) -> None:
        self._config = config
        self._rows = rows
        self.first_until = first_until
        self.change: ConceptChange | None = None

    @classmethod
    def read(cls, config: ModelConfig, scenario: Scenario) -> DemoRows:
        """Read the model's history; of one that never ends (``first_until``), as much as the demo needs."""
        source, history = ConfiguredSource(MemoryStore()), config.history_only()
        if scenario.first_until is not None:
            until = scenario.first_until.astimezone(UTC)
            length = config.training.window.length or config.monitor.every * 100
            end = until + config.monitor.every * scenario.most_windows
            return cls(config, source.read(history, until - length, end), until)
        rows = source.read(history, None, None)
        at: datetime = rows[config.columns.timestamp].iloc[int(len(rows) * scenario.first_share)]
        return cls(config, rows, at.replace(hour=0, minute=0, second=0, microsecond=0))

    def write_history(self, folder: Path) -> dict[str, Any]:
        """Write the rows that the model begins with; return the ``source`` block that reads them."""
        path = folder / HISTORY
        self._rows[self._rows[self._config.columns.timestamp] < self.first_until].to_parquet(path)
        return {"kind": "predictions", "history": {"kind": "parquet", "uri": str(path)}}

    def change_concept(self, at: datetime, feature: str) -> ConceptChange:
        """Change the concept of all rows from ``at`` on."""
        self.change = ConceptChange.of(self._config, self._rows, at, feature)
        return self.change

    def between(self, start: datetime, end: datetime) -> pd.DataFrame:
        """Return the rows with ``start <= timestamp < end``."""
        times = self._rows[self._config.columns.timestamp]
        rows = self._rows[(times >= start) & (times < end)].reset_index(drop=True)
        return rows if self.change is None else self.change.apply(self._config, rows)
