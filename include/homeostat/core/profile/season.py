"""A reference by hour of the day or of the week, and what it says of a window's own hours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from homeostat.config.errors import DataError
from homeostat.core.profile.coerce import Floats, Ints
from homeostat.core.profile.counting import count
from homeostat.core.profile.edges import Frames
from homeostat.core.profile.histogram import Counts, Profile

SeasonKind = Literal["hour_of_day", "hour_of_week"]
HOURS: dict[SeasonKind, int] = {"hour_of_day": 24, "hour_of_week": 168}

#: A slot with fewer reference rows borrows from the hours around it ...
ENOUGH = 50
#: ... though from no further than this many hours on either side.
REACH = 2
#: So many counts at the most; a reference with more features than that allows has longer slots.
MAX_COUNTS = 2_000_000
_WIDTHS = (1, 2, 3, 4, 6, 8, 12, 24)
_MONDAY = np.datetime64("1970-01-05T00", "h")


@dataclass(frozen=True, slots=True, eq=False)
class Season:
    """The reference's rows slot by slot of its season, on the reference's own frames.

    ``rows[s]`` reference rows lie in slot s, which is ``width`` hours long; ``counts[name][s]`` holds
    their missing, their unseen and then their placed values, shape (slots, 2 + the frame's size).
    Hours are UTC, and weeks begin on Monday: where clocks change, local habits move by an hour.
    """

    kind: SeasonKind
    rows: Ints
    counts: Mapping[str, Ints]

    def __post_init__(self) -> None:
        for array in (self.rows, *self.counts.values()):
            array.setflags(write=False)

    @classmethod
    def of(cls, frames: Frames, frame: pd.DataFrame, times: pd.Series, kind: SeasonKind) -> Season:
        """Count the reference's rows by the slot of their event time (UTC; without a zone, taken as UTC)."""
        cells = sum(shape.size + 2 for shape in frames.features.values())
        width = next((w for w in _WIDTHS if cells * HOURS[kind] // w <= MAX_COUNTS), _WIDTHS[-1])
        slots, here = HOURS[kind] // width, _slots(times, kind, width)
        rows = tally(here, slots)
        counts = {name: np.zeros((slots, f.size + 2), np.int64) for name, f in frames.features.items()}
        for slot in np.flatnonzero(rows):
            for name, found in count(frames, frame[here == slot]).features.items():
                counts[name][slot] = (found.missing, found.unseen, *found.slots)
        return cls(kind, rows, counts)

    @property
    def width(self) -> int:
        """Hours in a slot."""
        return HOURS[self.kind] // len(self.rows)

    def slots(self, times: pd.Series) -> Ints:
        """The slot of each event time, shape (n,); -1 where there is none."""
        return _slots(times, self.kind, self.width)

    def seen(self, slots: Ints) -> np.ndarray:
        """Which of these slots the reference knows, of its own or from the hours around; bool, shape (n,)."""
        known = np.asarray(self._borrowed().any(axis=1))
        return np.asarray((slots >= 0) & known[slots])

    def against(self, frames: Frames, per_slot: Ints) -> Profile:
        """The reference as it would look in a window's own composition, in as many rows as that is worth.

        With ``w[s]`` window rows in slot s, the share of slot t is ``a[t] = sum_s w[s] / W * n[t] / N[s]``
        where t is among the hours that s draws on (itself, as a rule), n[t] its rows and N[s] those of
        all these hours. Every cell of the answer holds ``sum_t a[t] * counts[t] / n[t]``, times
        ``n_eff = 1 / sum_t (a[t]^2 / n[t])``, L. Kish's effective sample size ("Survey Sampling",
        1965) of rows with these weights, rounded down; cells are rounded so that no sum over a row
        of them is off by more than half a row.

        A multinomial of ``n_eff`` rows varies no less than the mixture where the window has its rows
        where the reference has them, as stratified samples never vary more than plain ones: p-values
        keep their level or lie above it. In the composition of the reference itself this is the reference.

        Limits: where a slot of few reference rows is most of a window's spread, the variance is that
        slot's, and the level is an approximation. Rows are taken for independent: what all rows of
        an hour share beyond the season (weather, say) makes that hour truly different, and short windows
        will say so. All rows must lie in slots that are :meth:`seen`.

        Parameters
        ----------
        per_slot
            The window's rows, shape (slots,), as :func:`tally` gives them.
        """
        total = int(per_slot.sum())
        if not total:
            return Profile.empty(frames)
        share = per_slot / total @ self._borrowed()
        per_row = np.divide(share, self.rows, out=np.zeros(len(share)), where=self.rows > 0)
        rows = int(1 / float(share @ per_row) + 1e-9)
        return Profile(
            frames,
            rows,
            {name: _counts(frames, name, per_row @ self.counts[name], rows) for name in frames.features},
        )

    def _borrowed(self) -> Floats:
        """Row s: in which shares slot s draws on the slots; all 0 where nothing is near enough."""
        slots = len(self.rows)
        apart = np.abs(np.arange(slots)[:, None] - np.arange(slots))
        apart = np.minimum(apart, slots - apart)  # Sunday night is next to Monday morning
        drawn = np.where(apart == 0, self.rows, 0)
        for reach in range(1, REACH // self.width + 1):
            lacking = drawn.sum(axis=1) < ENOUGH
            drawn = np.where(lacking[:, None] & (apart <= reach), self.rows, drawn)
        there = drawn.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(drawn, there, out=np.zeros(drawn.shape), where=there > 0))

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
        """Plain JSON: slots without rows are left out."""
        there = np.flatnonzero(self.rows).tolist()
        return {
            "kind": self.kind,
            "width": self.width,
            "slots": there,
            "counts": {name: counts[there].tolist() for name, counts in self.counts.items()},
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any], frames: Frames) -> Season:
        """Read what :meth:`to_body` wrote; DataError when it does not belong to these frames."""
        try:
            if body["kind"] not in HOURS or body["width"] not in _WIDTHS:
                msg = f"season {body['kind']!r} in slots of {body['width']!r} hours is none that is known"
                raise ValueError(msg)
            slots, there = HOURS[body["kind"]] // body["width"], np.array(body["slots"], dtype=np.int64)
            counts = {
                name: _spread(body["counts"][name], there, (slots, frame.size + 2))
                for name, frame in frames.features.items()
            }
            per_slot = [table.sum(axis=1) for table in counts.values()]
            rows = per_slot[0] if per_slot else np.zeros(slots, np.int64)
            if any(not np.array_equal(rows, other) for other in per_slot):
                msg = "its features do not count the same rows"
                raise ValueError(msg)
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            msg = f"this is not a season on these frames: {error!r}"
            raise DataError(msg) from None
        return cls(body["kind"], rows, counts)


def tally(slots: Ints, size: int) -> Ints:
    """Rows per slot, shape (size,); rows without one (-1) are left out."""
    return np.bincount(slots[slots >= 0], minlength=size).astype(np.int64, copy=False)


def _slots(times: pd.Series, kind: SeasonKind, width: int) -> Ints:
    at = pd.to_datetime(times, utc=True).dt.tz_localize(None).to_numpy().astype("datetime64[h]")
    hours = (at - _MONDAY).astype(np.int64) % HOURS[kind] // width
    return np.where(np.isnat(at), -1, hours)


def _counts(frames: Frames, name: str, shares: Floats, rows: int) -> Counts:
    running = np.rint(np.cumsum(shares) * rows)
    running[-1] = rows  # the shares add up to 1 but for the last bits
    whole = np.diff(running, prepend=0).astype(np.int64)
    return Counts(frames.features[name], whole[2:].copy(), int(whole[0]), int(whole[1]))


def _spread(raw: Any, there: Ints, shape: tuple[int, int]) -> Ints:
    found = np.array(raw, dtype=np.int64).reshape(len(there), shape[1])
    if (found < 0).any() or (there < 0).any() or len(np.unique(there)) != len(there):
        msg = "counts from 0 up, of distinct slots, were expected"
        raise ValueError(msg)
    table = np.zeros(shape, np.int64)
    table[there] = found
    return table
