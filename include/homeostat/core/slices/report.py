"""The result of all slices in one window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from homeostat.core.slices.decay import SliceScore
from homeostat.core.slices.drift import SliceDrift


@dataclass(frozen=True, slots=True)
class SliceResult:
    """One slice: the drift of its inputs and how well it is predicted."""

    name: str
    drift: SliceDrift
    performance: SliceScore


@dataclass(frozen=True, slots=True)
class SlicesReport:
    """All slices of a window, in the order of model.yaml; ``metric`` is that of their scores.

    ``reason`` says why there are none, or what of them is not compared; "" where nothing is to be said.
    """

    metric: str
    results: tuple[SliceResult, ...] = ()
    reason: str = ""

    @property
    def decayed(self) -> dict[str, float]:
        """The decay of each slice whose predictions have become worse, the worst first."""
        found = {
            each.name: each.performance.decay
            for each in self.results
            if each.performance.verdict == "alert" and each.performance.decay is not None
        }
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @property
    def drifted(self) -> tuple[str, ...]:
        """The names of the slices whose inputs have drifted."""
        return tuple(each.name for each in self.results if each.drift.verdict == "alert")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON: no NaN, no numpy."""
        return asdict(self) | {"results": [asdict(each) for each in self.results]}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        results = tuple(
            SliceResult(
                each["name"],
                SliceDrift(**each["drift"] | {"drifted": tuple(each["drift"]["drifted"])}),
                SliceScore(**each["performance"]),
            )
            for each in raw["results"]
        )
        return cls(raw["metric"], results, raw["reason"])
