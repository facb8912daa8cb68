"""Which monitoring is old enough to be deleted: the decision alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Retention:
    """Windows that ended before ``before`` are deleted, those that ended at a time of ``kept`` are not."""

    before: datetime
    kept: frozenset[datetime] = frozenset()

    @classmethod
    def of(
        cls,
        now: datetime,
        keep: timedelta,
        *,
        newest: datetime,
        lookback: timedelta,
        kept: Collection[datetime] = (),
    ) -> Retention:
        """Return the decision for one model.

        Parameters
        ----------
        keep
            How long monitoring is kept.
        newest
            The end of the newest window. A check's look-back is kept before it, so that a model whose checks
            have stopped keeps its last windows, and its trigger decides the same when they run again.
        lookback
            How far back a check reads windows.
        kept
            Ends of windows that are kept whatever their age.
        """
        return cls(min(now - keep, newest - lookback), frozenset(kept))

    def deletes(self, end: datetime) -> bool:
        """Whether the window that ended at this time is deleted."""
        return end < self.before and end not in self.kept

    def deletes_all(self, begin: datetime, until: datetime) -> bool:
        """Whether every window that ended from ``begin`` to before ``until`` is deleted."""
        return until <= self.before and not any(begin <= end < until for end in self.kept)
