"""A monitoring history in memory, for tests; it keeps every promise of MLflow's adapter."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from homeostat.config.errors import Unavailable
from homeostat.core.trigger import WindowRecord


@dataclass(frozen=True, slots=True)
class MemoryWindow:
    """One window's run as it was written last."""

    record: dict[str, Any]
    metrics: dict[str, float]
    artifacts: dict[str, bytes]


class MemoryHistory:
    """One window per model and window end. Set ``down`` to see what an outage does."""

    def __init__(self) -> None:
        self.down = False
        self.written: dict[tuple[str, datetime], MemoryWindow] = {}

    def record(
        self,
        model: str,
        record: WindowRecord,
        *,
        metrics: Mapping[str, float],
        artifacts: Mapping[str, bytes],
    ) -> str:
        """See :meth:`homeostat.ports.History.record`."""
        self._answer()
        finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        # Through JSON, as the real history does it: what cannot be written must fail here too.
        raw = json.loads(json.dumps(record.to_json(), allow_nan=False))
        self.written[model, record.window_end] = MemoryWindow(raw, finite, dict(artifacts))
        return f"{model}@{record.window_end.isoformat()}"

    def windows(self, model: str, since: datetime | None = None) -> list[WindowRecord]:
        """See :meth:`homeostat.ports.History.windows`."""
        self._answer()
        mine = [
            WindowRecord.from_json(window.record)
            for (name, end), window in self.written.items()
            if name == model and (since is None or end >= since)
        ]
        return sorted(mine, key=lambda record: record.window_end)

    def _answer(self) -> None:
        if self.down:
            raise Unavailable("the history in memory was told to be down")
