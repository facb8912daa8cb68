"""A reference by hour of the day or of the week, reweighted to the hours of a window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from homeostat.config.errors import DataError
from homeostat.core.profile.cells import count_cells
from homeostat.core.profile.coerce import Floats, Ints
from homeostat.core.profile.edges import ProfileEdges
from homeostat.core.profile.fit_edges import column_of
from homeostat.core.profile.histogram import FeatureCounts, Profile

SeasonKind = Literal["hour_of_day", "hour_of_week"]
HOURS: dict[SeasonKind, int] = {"hour_of_day": 24, "hour_of_week": 168}

#: A slot with fewer reference rows also uses the rows of the hours around it ...
MIN_SLOT_ROWS = 50
#: ... up to this many hours on either side.
MAX_BORROW_HOURS = 2
#: Upper limit of counts; a reference with many features has longer slots to stay below it.
MAX_COUNTS = 2_000_000
#: Hours that a slot may have.
WIDTHS = (1, 2, 3, 4, 6, 8, 12, 24)
_MONDAY = np.datetime64("1970-01-05T00", "h")


@dataclass(frozen=True, slots=True, eq=False)
class Season:
    """The reference's rows per slot of its season, on the reference's own edges.

    ``rows[s]`` reference rows lie in slot s, which is ``width`` hours long; ``counts[name][s]`` holds
    their missing, their unseen and then their binned values, shape (slots, 2 + size of the edges).
    Hours are UTC, and weeks begin on Monday: where clocks change, local habits move by an hour.
    """

    kind: SeasonKind
    rows: Ints
    counts: Mapping[str, Ints]

    def __post_init__(self) -> None:
        for array in (self.rows, *self.counts.values()):
            array.setflags(write=False)

    @classmethod
    def from_rows(
        cls, edges: ProfileEdges, frame: pd.DataFrame, times: pd.Series, kind: SeasonKind
    ) -> Season:
        """Count the reference's rows by the slot of their event time (times without a zone are UTC)."""
        size = counts_per_slot(edges)
        width = next((w for w in WIDTHS if size * HOURS[kind] // w <= MAX_COUNTS), WIDTHS[-1])
        slots, slot_of_row = HOURS[kind] // width, season_slots(times, kind, width)
        rows = slot_totals(slot_of_row, slots)
        counts = {
            name: count_cells(each, column_of(frame, name), slot_of_row, slots)
            for name, each in edges.features.items()
        }
        return cls(kind, rows, counts)

    @property
    def width(self) -> int:
        """Hours in a slot."""
        return HOURS[self.kind] // len(self.rows)

    def slots_of(self, times: pd.Series) -> Ints:
        """Return the slot of each event time, shape (n,); -1 for a missing time."""
        return season_slots(times, self.kind, self.width)

    def covers(self, slots: Ints) -> np.ndarray:
        """Return which of these slots have reference rows, own or borrowed; bool, shape (n,)."""
        known = np.asarray(self._borrow_shares().any(axis=1))
        return np.asarray((slots >= 0) & known[slots])

    def reweight(self, edges: ProfileEdges, rows_per_slot: Ints) -> Profile:
        """Return the reference reweighted to a window's hours, in its effective number of rows.

        With ``w[s]`` window rows in slot s, the weight of slot t is ``a[t] = sum_s w[s] / W * n[t] / N[s]``
        where t is among the hours that s uses (itself, as a rule), n[t] its rows and N[s] those of
        all these hours. Every count of the result is ``sum_t a[t] * counts[t] / n[t]``, times
        ``n_eff = 1 / sum_t (a[t]^2 / n[t])``, L. Kish's effective sample size ("Survey Sampling",
        1965) of rows with these weights, rounded down. Counts are rounded so that no partial sum of
        them is off by more than half a row.

        A multinomial of ``n_eff`` rows varies no less than the mixture when window and reference have
        their rows in the same slots, because stratified samples never vary more than plain ones: p-values
        keep their level or lie above it. For the reference's own hours the result is the reference.

        Limits: where a slot of few reference rows makes up most of a window's variance, the level is an
        approximation. Rows are treated as independent: what all rows of an hour share beyond the season
        (weather, for example) makes that hour different, and short windows will alert on it. All rows
        must lie in slots that :meth:`covers` accepts.

        Parameters
        ----------
        rows_per_slot
            The window's rows, shape (slots,), as :func:`slot_totals` returns them.
        """
        total = int(rows_per_slot.sum())
        if not total:
            return Profile.empty(edges)
        weight = rows_per_slot / total @ self._borrow_shares()
        per_row = np.divide(weight, self.rows, out=np.zeros(len(weight)), where=self.rows > 0)
        rows = int(1 / float(weight @ per_row) + 1e-9)
        return Profile(
            edges,
            rows,
            {name: _rounded(edges, name, per_row @ self.counts[name], rows) for name in edges.features},
        )

    def _borrow_shares(self) -> Floats:
        """Return in row s the shares in which slot s uses each slot; all 0 when none is near enough."""
        slots = len(self.rows)
        distance = np.abs(np.arange(slots)[:, None] - np.arange(slots))
        distance = np.minimum(distance, slots - distance)  # Sunday night is next to Monday morning
        used = np.where(distance == 0, self.rows, 0)
        for reach in range(1, MAX_BORROW_HOURS // self.width + 1):
            too_few = used.sum(axis=1) < MIN_SLOT_ROWS
            used = np.where(too_few[:, None] & (distance <= reach), self.rows, used)
        total = used.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(used, total, out=np.zeros(used.shape), where=total > 0))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Season)
            and self.kind == other.kind
            and self.counts.keys() == other.counts.keys()
            and np.array_equal(self.rows, other.rows)
            and all(np.array_equal(counts, other.counts[name]) for name, counts in self.counts.items())
        )

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    def to_body(self) -> dict[str, Any]:
        """Return plain JSON; slots without rows are left out."""
        filled = np.flatnonzero(self.rows).tolist()
        return {
            "kind": self.kind,
            "width": self.width,
            "slots": filled,
            "counts": {name: counts[filled].tolist() for name, counts in self.counts.items()},
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any], edges: ProfileEdges) -> Season:
        """Read what :meth:`to_body` wrote; raise DataError when it does not fit these edges."""
        try:
            if body["kind"] not in HOURS or body["width"] not in WIDTHS:
                msg = f"unknown season {body['kind']!r} in slots of {body['width']!r} hours"
                raise ValueError(msg)
            slots, filled = HOURS[body["kind"]] // body["width"], np.array(body["slots"], dtype=np.int64)
            counts = {
                name: _all_slots(body["counts"][name], filled, (slots, each.size + 2))
                for name, each in edges.features.items()
            }
            rows_by_feature = [table.sum(axis=1) for table in counts.values()]
            rows = rows_by_feature[0] if rows_by_feature else np.zeros(slots, np.int64)
            if any(not np.array_equal(rows, other) for other in rows_by_feature):
                msg = "its features do not count the same rows"
                raise ValueError(msg)
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            msg = f"this is not a season on these edges: {error!r}"
            raise DataError(msg) from None
        return cls(body["kind"], rows, counts)


def counts_per_slot(edges: ProfileEdges) -> int:
    """Return how many counts a slot has on these edges."""
    return sum(each.size + 2 for each in edges.features.values())


def slot_totals(slots: Ints, size: int) -> Ints:
    """Return the rows per slot, shape (size,); rows without a slot (-1) are left out."""
    return np.bincount(slots[slots >= 0], minlength=size).astype(np.int64, copy=False)


def season_slots(times: pd.Series, kind: SeasonKind, width: int) -> Ints:
    """Return the slot of each event time, shape (n,), -1 for a missing time; without a zone it is UTC."""
    at = pd.to_datetime(times, utc=True).dt.tz_localize(None).to_numpy().astype("datetime64[h]")
    hours = (at - _MONDAY).astype(np.int64) % HOURS[kind] // width
    return np.where(np.isnat(at), -1, hours)


def _rounded(edges: ProfileEdges, name: str, shares: Floats, rows: int) -> FeatureCounts:
    """Return whole counts in these shares: missing, unseen, then the slots."""
    running = np.rint(np.cumsum(shares) * rows)
    running[-1] = rows  # the shares add up to 1 but for the last bits
    whole = np.diff(running, prepend=0).astype(np.int64)
    return FeatureCounts(edges.features[name], whole[2:].copy(), int(whole[0]), int(whole[1]))


def _all_slots(raw: Any, filled: Ints, shape: tuple[int, int]) -> Ints:
    """Return the counts of all slots from those of the filled ones."""
    found = np.array(raw, dtype=np.int64).reshape(len(filled), shape[1])
    if (found < 0).any() or (filled < 0).any() or len(np.unique(filled)) != len(filled):
        msg = "expected distinct slots and counts, none negative"
        raise ValueError(msg)
    table = np.zeros(shape, np.int64)
    table[filled] = found
    return table
