"""Compare the new version with the previous one on the same labelled rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import sqrt
from typing import Any

import numpy as np

from homeostat.config import ModelConfig
from homeostat.config.label_text import label_texts
from homeostat.core.rollout import VersionRef
from homeostat.ports import Ports
from homeostat.storage.bundles import load_version


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many of the same labelled rows the new and the old version predict correctly.

    ``gained`` counts rows that only the new version predicts correctly, ``lost`` those of the old one only.
    """

    rows: int
    new_right: int
    old_right: int
    gained: int
    lost: int

    @property
    def significantly_worse(self) -> bool:
        """Whether the loss exceeds chance: McNemar's sign test at three standard errors."""
        return self.lost - self.gained > 3 * sqrt(max(1, self.lost + self.gained))

    @property
    def significantly_better(self) -> bool:
        """Whether the gain exceeds chance, as in :attr:`significantly_worse`."""
        return self.gained - self.lost > 3 * sqrt(max(1, self.lost + self.gained))

    def to_json(self) -> dict[str, Any]:
        """Return the row count and both accuracies as JSON."""
        share = {"new": self.new_right, "old": self.old_right}
        return {"rows": self.rows, **{name: round(n / max(1, self.rows), 4) for name, n in share.items()}}

    def sentence(self) -> str:
        """Return both accuracies as a sentence."""
        if not self.rows:
            return "no labelled predictions to compare"
        new, old = self.new_right / self.rows, self.old_right / self.rows
        return f"accuracy {new:.3f}; previous version on the same {self.rows} rows: {old:.3f}"


def compare_with_previous(ports: Ports, config: ModelConfig, start: datetime, end: datetime) -> Comparison:
    """Score all labelled rows with ``start <= at < end`` by champion and previous version, offline."""
    traffic = ports.ledger.read(config.name)
    rows = ports.source.read(config, start, end)
    if traffic.champion is None or traffic.previous is None or rows.empty:
        return Comparison(0, 0, 0, 0, 0)
    truth = [config.columns.label.to_class(label) for label in rows[config.columns.label.name]]

    def right(version: VersionRef) -> np.ndarray[Any, np.dtype[np.bool_]]:
        predictions = load_version(ports, config, version.digest).predictor.predict(rows).prediction
        return np.array(
            [predicted == label for predicted, label in zip(label_texts(predictions), truth, strict=True)]
        )

    new, old = right(traffic.champion), right(traffic.previous)
    gained, lost = new & ~old, old & ~new
    return Comparison(len(rows), *(int(part.sum()) for part in (new, old, gained, lost)))
