"""The input of every rule of the trigger, derived from the history once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeostat.config.model import Trigger
from homeostat.core.trigger.attempts import Attempt, attempts
from homeostat.core.trigger.records import WindowRecord
from homeostat.core.trigger.retrain_end import RetrainEnd, RetrainResult
from homeostat.core.trigger.tenure import alert_run, latest_tenure, one_per_window


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known when ``current`` is decided.

    ``past`` are the windows before it, oldest first. ``tenure`` are those of them that are evidence about
    the champion, ``current`` last; empty when ``current`` ended before the promotion. ``drift_run`` and
    ``decay_run`` count the alerts in a row at the end of ``tenure``. ``attempts`` are the retrains of the
    windows in ``past`` that fired, oldest first. ``probed`` are the ends of those windows whose retrain
    ended after its probe: it was not worth its cost, which is no attempt.
    """

    current: WindowRecord
    settings: Trigger
    promoted_at: datetime | None
    min_retrain_interval: timedelta
    records: Mapping[datetime, WindowRecord]
    past: tuple[WindowRecord, ...]
    tenure: tuple[WindowRecord, ...]
    drift_run: int
    decay_run: int
    attempts: tuple[Attempt, ...]
    probed: frozenset[datetime]

    @classmethod
    def of(
        cls,
        history: Iterable[WindowRecord],
        current: WindowRecord,
        settings: Trigger,
        promoted_at: datetime | None,
        min_retrain_interval: timedelta,
        retrains: Mapping[datetime, RetrainEnd],
    ) -> Evidence:
        """Derive it from the history, in whatever order that comes."""
        records = one_per_window(history)
        past = tuple(record for end, record in sorted(records.items()) if end < current.window_end)
        since = [r for r in (*past, current) if promoted_at is None or r.window_end > promoted_at]
        tenure = latest_tenure(since, current.version)
        return cls(
            current=current,
            settings=settings,
            promoted_at=promoted_at,
            min_retrain_interval=min_retrain_interval,
            records=records,
            past=past,
            tenure=tuple(tenure),
            drift_run=alert_run([record.drift for record in tenure]),
            decay_run=alert_run([record.performance for record in tenure]),
            attempts=attempts((*past, current), retrains),
            probed=frozenset(
                end
                for end, retrain in retrains.items()
                if retrain.known_by(current.window_end) is RetrainResult.NOT_WORTHWHILE
            ),
        )

    @property
    def last_fire(self) -> datetime | None:
        """The end of the last window before this one that fired for more than a probe; None without one."""
        return next(
            (r.window_end for r in reversed(self.past) if r.fired and r.window_end not in self.probed), None
        )

    @property
    def reinstatement_refused(self) -> bool:
        """Whether the last fire was a reinstatement whose version did not become, or stay, champion."""
        return bool(self.attempts) and self.attempts[-1].reinstates and not self.attempts[-1].new_champion
