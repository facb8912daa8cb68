"""Evidence about a variant as plain counts, so that any number of gateways simply add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import zip_longest
from typing import Any

#: Upper edges of the latency slots in milliseconds, 10 % apart from 0.05 ms on; the last slot is open.
LATENCY_EDGES_MS: tuple[float, ...] = tuple(0.05 * 1.1**i for i in range(140))
#: Slots of confidence over [0, 1], equally wide.
CONFIDENCE_SLOTS = 50

CHAMPION, CONTROL, CANDIDATE, SHADOW = "champion", "control", "candidate", "shadow"


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of what one variant did in one stage of a rollout; all of them add.

    ``answers`` counts rows asked for, failed ones included. ``predictions`` are counts on the
    candidate's frozen prediction edges; ``compared`` and ``diverged`` count rows for which the
    champion's answer to the same input is known.
    """

    answers: int = 0
    errors: int = 0
    nan: int = 0
    out_of_range: int = 0
    compared: int = 0
    diverged: int = 0
    dropped: int = 0
    predictions: tuple[int, ...] = ()
    latency: tuple[int, ...] = ()
    confidence: tuple[int, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(_sum(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)))

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists; zero counts are left out."""
        items = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: list(value) if isinstance(value, tuple) else value for name, value in items if value}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Tally:
        """The other way round; keys that this version does not know are passed over."""
        known = {f.name for f in fields(cls)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else int(value)
            for name, value in raw.items()
            if name in known
        }
        return cls(**values)


def _sum(a: Any, b: Any) -> Any:
    return tuple(x + y for x, y in zip_longest(a, b, fillvalue=0)) if isinstance(a, tuple) else a + b


#: Evidence of a rollout: (stage, variant) -> counts. A stage is ``shadow``, ``canary:0``, ``canary:1``, ...
Evidence = Mapping[tuple[str, str], Tally]
