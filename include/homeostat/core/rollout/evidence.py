"""Evidence about a variant as plain counts; the counts of any number of gateways add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import zip_longest
from operator import add
from typing import Any

#: Upper edges of the latency bins in milliseconds, 10 % apart from 0.05 ms on; the last bin is open.
LATENCY_EDGES_MS: tuple[float, ...] = tuple(0.05 * 1.1**i for i in range(140))
#: Bins of confidence over [0, 1], equally wide.
CONFIDENCE_BINS = 50

CHAMPION, CONTROL, CANDIDATE, SHADOW = "champion", "control", "candidate", "shadow"

#: Evidence that is known as a whole and replaced, not added to: how both versions compared on the gate's
#: holdout and on the requests logged before the rollout, and the labelled requests that both predicted.
HOLDOUT = ("holdout", SHADOW)
RECENT = ("recent", SHADOW)
LABELLED_PAIRS = ("labels", "pairs")

#: Where a gateway counts, beside a rollout's evidence, the times it found its prediction log dropping rows.
DROPPING_ROWS = ("prediction_log", "dropping_rows")

#: What release 0.1 wrote. Both names are added: the ledger sums the counts of gateways of either release.
_OLD_NAMES = {"answers": "rows"}


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of what one variant did in one stage of a rollout; all of them add.

    ``rows`` counts rows that the variant was given, failed ones included. ``predictions`` are counts on the
    candidate's frozen prediction edges; ``compared`` and ``diverged`` count rows for which the champion's
    prediction on the same input is known, ``compared_bins`` and ``diverged_bins`` the same by the bin of the
    champion's prediction. ``losses`` counts labelled rows by the losses of both versions, see
    :mod:`~homeostat.core.rollout.label_pairs`.
    """

    rows: int = 0
    errors: int = 0
    nan: int = 0
    out_of_range: int = 0
    compared: int = 0
    diverged: int = 0
    dropped: int = 0
    predictions: tuple[int, ...] = ()
    latency: tuple[int, ...] = ()
    confidence: tuple[int, ...] = ()
    compared_bins: tuple[int, ...] = ()
    diverged_bins: tuple[int, ...] = ()
    losses: tuple[int, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(_sum(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)))

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers and lists; zero counts are left out."""
        items = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: list(value) if isinstance(value, tuple) else value for name, value in items if value}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Tally:
        """Read what :meth:`to_json` wrote, old key names included; unknown keys are ignored."""
        known = {f.name for f in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in raw.items():
            name = _OLD_NAMES.get(key, key)
            if name in known:
                values[name] = tuple(value) if isinstance(value, list) else values.get(name, 0) + int(value)
        return cls(**values)


def _sum(a: Any, b: Any) -> Any:
    if not isinstance(a, tuple):
        return a + b
    if len(a) == len(b):
        return tuple(map(add, a, b))
    return tuple(x + y for x, y in zip_longest(a, b, fillvalue=0)) if a and b else a or b


#: Evidence of a rollout: (stage, variant) -> counts. A stage is ``shadow``, ``canary:0``, ``canary:1``, ...,
#: or one of :data:`HOLDOUT`, :data:`RECENT` and :data:`LABELLED_PAIRS`.
Evidence = Mapping[tuple[str, str], Tally]


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """Return evidence as plain JSON for the ledger: ``{"canary:0/candidate": {"rows": 12, ...}}``."""
    return {f"{stage}/{variant}": tally.to_json() for (stage, variant), tally in evidence.items()}


def evidence_from_json(raw: Mapping[str, Any]) -> Evidence:
    """Read what :func:`evidence_json` wrote."""
    keys = ((key.rpartition("/"), value) for key, value in raw.items())
    return {(stage, variant): Tally.from_json(value) for (stage, _, variant), value in keys}
