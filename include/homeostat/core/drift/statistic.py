"""The signature of a drift test, and its result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from homeostat.core.drift.bins import PooledTable, contingency_table
from homeostat.core.profile import FeatureCounts


@dataclass(frozen=True, slots=True)
class Statistic:
    """The result of a test; ``value`` is None with a ``reason`` when it could not be computed, never NaN.

    ``p_value`` is there for tests that have one. ``error`` is the most by which the value may lie below
    the exact one, computed from all rows.
    """

    value: float | None
    p_value: float | None = None
    error: float = 0.0
    reason: str = ""

    def __post_init__(self) -> None:
        for name in ("value", "p_value", "error"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                msg = f"{name} is {number}: return None with a reason when a statistic cannot be computed"
                raise ValueError(msg)
        if self.value is None and not self.reason:
            msg = "a statistic without a value needs a reason"
            raise ValueError(msg)


class DriftTest(Protocol):
    """Compare two counts on the same edges; missing and unseen rows are not part of a test.

    A test is a function in its own file, listed in :data:`homeostat.core.drift.TESTS`; all tests must
    pass ``tests/core/drift/test_drift_contract.py``.
    """

    def __call__(self, reference: FeatureCounts, window: FeatureCounts, /) -> Statistic:
        """Return the statistic; never raise for counts on the same edges, and never return NaN."""


def no_comparison(reference: FeatureCounts, window: FeatureCounts) -> Statistic | None:
    """Return a result without a value when a side has no binned or no distinct values, else None."""
    for side, counts in (("reference", reference), ("window", window)):
        if not counts.binned:
            return Statistic(None, reason=f"the {side} has no values{_why_empty(counts)}")
    if getattr(reference.edges, "open", False) and contingency_table(reference, window).shape[1] == 1:
        return Statistic(
            None,
            reason="nothing to compare: too many categories for their rows, and none clearly more frequent",
        )
    return None


def too_sparse(table: PooledTable) -> Statistic | None:
    """Return a result without a value when pooling has merged all bins into one, else None."""
    values = table.full.shape[1]
    if table.pooled.shape[1] > 1 or values == 1:
        return None
    return Statistic(None, reason=f"too few rows to compare {values} values: expected counts below 5")


def _why_empty(counts: FeatureCounts) -> str:
    if not counts.rows:
        return ": it has no rows"
    if not counts.unseen:
        return f": all {counts.rows} rows are missing"
    what = "never seen in the reference" if counts.kind == "category" else "not numbers"
    others = ", the others missing" if counts.unseen < counts.rows else ""
    return f" that the reference knows: {counts.unseen} of {counts.rows} rows are {what}{others}"
