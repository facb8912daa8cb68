"""What drift checks see of ageing between two probes: by step, labelled rows and how a probe does on them.

standing/<model>/steps.json
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import numpy as np

from homeostat.config.errors import NotFound
from homeostat.core.performance import AgeingObservation, mean_of_blocks
from homeostat.ports import Store
from homeostat.storage.ageing_record import AgeingRecord

#: So many steps are kept.
_STEPS = 512
# Durations are summed up from steps: rounding must not cost a window.
_ROUNDING = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class AgeingStep:
    """The labelled rows of one step of monitoring.

    ``due`` is the end of their times, ``rows`` their number. ``probe`` is the digest of a fresher version
    that was compared with the champion on them ("": none was), and ``blocks`` are the rows and the summed
    difference of losses (champion - probe) of stretches of them.
    """

    due: datetime
    rows: int
    champion: str
    probe: str = ""
    blocks: tuple[tuple[float, float], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, without ``due``."""
        raw = {"rows": self.rows, "champion": self.champion}
        return raw | ({"probe": self.probe, "blocks": self.blocks} if self.probe else {})

    @classmethod
    def from_json(cls, due: str, raw: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        blocks = tuple((float(rows), float(total)) for rows, total in raw.get("blocks", ()))
        return cls(
            datetime.fromisoformat(due), int(raw["rows"]), raw["champion"], raw.get("probe", ""), blocks
        )


def load_steps(store: Store, model: str) -> list[AgeingStep]:
    """Return the steps, oldest first."""
    try:
        steps = json.loads(store.get(_key(model)))["steps"]
    except NotFound:
        return []
    return sorted((AgeingStep.from_json(due, raw) for due, raw in steps.items()), key=lambda each: each.due)


def save_steps(store: Store, model: str, steps: Iterable[AgeingStep]) -> None:
    """Store the last steps; only drift checks write them. Of several of one time the last counts."""
    by_time = {each.due.isoformat(): each.to_json() for each in sorted(steps, key=lambda each: each.due)}
    kept = dict(list(by_time.items())[-_STEPS:])
    store.put(_key(model), json.dumps({"steps": kept}, allow_nan=False).encode(), overwrite=True)


def whole_windows(
    steps: Iterable[AgeingStep], since: datetime, window: timedelta, min_rows: int
) -> list[list[AgeingStep]]:
    """Group the steps after ``since`` into windows of this length, longer where they have too few rows.

    The last window is left out while it is not complete. A time without labels makes a window longer, and is
    no window of its own.
    """
    found: list[list[AgeingStep]] = []
    begin, collected = since, list[AgeingStep]()
    for step in sorted(steps, key=lambda each: each.due):
        if step.due <= since or not step.rows:
            continue
        collected.append(step)
        long = step.due - begin >= window - _ROUNDING
        if long and sum(each.rows for each in collected) >= min_rows:
            found.append(collected)
            begin, collected = step.due, []
    return found


def observed_since_probe(
    steps: Sequence[AgeingStep],
    record: AgeingRecord,
    *,
    champion: str,
    members: str,
    learned_until: datetime,
    window: timedelta,
    min_rows: int,
) -> list[AgeingObservation]:
    """Return what the windows since the newest probe say of the champion's age.

    Parameters
    ----------
    members, learned_until
        What the champion learned from, and the end of its training data. A probe that learned from other rows
        says nothing about age.
    window, min_rows
        The length of a window, and its least number of labelled rows.
    """
    if not record.probes:
        return []
    probe = record.probes[-1]
    gap = (probe.learned_until - learned_until) / window
    if gap <= 0 or probe.members != members:
        return []
    own = [each for each in steps if each.probe == probe.digest and each.champion == champion]
    found = []
    for parts in whole_windows(own, probe.until, window, min_rows):
        gain, variance = mean_of_blocks(np.array([block for part in parts for block in part.blocks]))
        scaled = gain / record.scale, variance / record.scale**2
        found.append(AgeingObservation(parts[-1].due, champion, probe.members, gap, *scaled))
    return [each for each in found if np.isfinite(each.variance)]


def _key(model: str) -> str:
    return f"standing/{model}/steps.json"
