"""The one shape of a drift test, and of its answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from homeostat.core.drift.bins import Table, table
from homeostat.core.profile import Counts


@dataclass(frozen=True, slots=True)
class Statistic:
    """What a test found; ``value`` is None with a ``reason`` when it could not be computed, never NaN.

    ``p_value`` is there for tests that have one. ``error`` is how far the value may lie below the
    one that all rows would have given.
    """

    value: float | None
    p_value: float | None = None
    error: float = 0.0
    reason: str = ""

    def __post_init__(self) -> None:
        for name in ("value", "p_value", "error"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                msg = f"{name} is {number}: a test that cannot answer says so with a reason"
                raise ValueError(msg)
        if self.value is None and not self.reason:
            msg = "a test that cannot answer says why"
            raise ValueError(msg)


class DriftTest(Protocol):
    """Compare two counts on one frame. Missing and unseen rows are no business of a test.

    A test is a function in a file of its own, listed in :data:`homeostat.drift.TESTS`; all of them
    pass ``tests/drift/test_drift_contract.py``.
    """

    def __call__(self, reference: Counts, window: Counts, /) -> Statistic:
        """Never raise for counts on the same frame, and never answer NaN."""


def nothing_to_compare(reference: Counts, window: Counts) -> Statistic | None:
    """The answer when either side has no value with a slot, or none that can be told apart; else None."""
    for side, counts in (("reference", reference), ("window", window)):
        if not counts.placed:
            return Statistic(None, reason=f"the {side} has no values{_why(counts)}")
    if getattr(reference.frame, "open", False) and table(reference, window).shape[1] == 1:
        return Statistic(
            None,
            reason="nothing to compare: too many categories for their rows, and none clearly more frequent",
        )
    return None


def too_sparse(cells: Table, kept: Table) -> Statistic | None:
    """The answer when pooling has left one cell of several; None when there is something to compare."""
    if kept.shape[1] > 1 or cells.shape[1] == 1:
        return None
    return Statistic(None, reason=f"too few rows to compare {cells.shape[1]} values: expected counts below 5")


def _why(counts: Counts) -> str:
    if not counts.rows:
        return ": it has no rows"
    if not counts.unseen:
        return f": all {counts.rows} rows are missing"
    kind = "never seen in the reference" if counts.kind == "category" else "no numbers"
    others = ", the others missing" if counts.unseen < counts.rows else ""
    return f" that can be placed: {counts.unseen} of {counts.rows} rows are {kind}{others}"
