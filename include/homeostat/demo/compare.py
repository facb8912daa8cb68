"""Old version against new one on the very same rows: what the retrain was worth."""

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
class Compared:
    """How often the new and the old version are right about the same labelled rows.

    ``gained`` counts rows that only the new version calls right, ``lost`` those that only the old one does.
    """

    rows: int
    new_right: int
    old_right: int
    gained: int
    lost: int

    @property
    def surely_worse(self) -> bool:
        """Whether more was lost than chance explains: McNemar's sign test at three standard errors."""
        return self.lost - self.gained > 3 * sqrt(max(1, self.lost + self.gained))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        share = {"new": self.new_right, "old": self.old_right}
        return {"rows": self.rows, **{name: round(n / max(1, self.rows), 4) for name, n in share.items()}}

    def sentence(self) -> str:
        """For people."""
        if not self.rows:
            return "no labelled answers to compare"
        new, old = self.new_right / self.rows, self.old_right / self.rows
        return f"accuracy {new:.3f}; the old version on the same {self.rows} rows: {old:.3f}"


def new_against_old(ports: Ports, config: ModelConfig, start: datetime, end: datetime) -> Compared:
    """Ask champion and previous version, offline, about all labelled rows with ``start <= at < end``."""
    traffic = ports.ledger.read(config.name)
    rows = ports.source.read(config, start, end)
    if traffic.champion is None or traffic.previous is None or rows.empty:
        return Compared(0, 0, 0, 0, 0)
    truth = label_texts(rows[config.columns.label.name])

    def right(version: VersionRef) -> np.ndarray[Any, np.dtype[np.bool_]]:
        answers = load_version(ports, config, version.digest).predictor.predict(rows).prediction
        return np.array([said == wanted for said, wanted in zip(label_texts(answers), truth, strict=True)])

    new, old = right(traffic.champion), right(traffic.previous)
    gained, lost = new & ~old, old & ~new
    return Compared(len(rows), *(int(part.sum()) for part in (new, old, gained, lost)))
