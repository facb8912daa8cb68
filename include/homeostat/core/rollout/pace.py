"""How long a rollout takes at a model's traffic: settings and traffic must fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any

from homeostat.config.duration import describe_duration, format_duration
from homeostat.core.rollout.phases import Plan

#: A phase that would take longer than this is not suggested as a setting.
_MAX_SUGGESTED = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class TrafficRate:
    """Rows an hour of all traffic of a model, and where the figure comes from: ``in the last 24 hours``."""

    rows_per_hour: float
    source: str

    def __str__(self) -> str:
        rate = self.rows_per_hour
        number = f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
        return f"{number} row{'' if number == '1' else 's'} an hour ({self.source})"


@dataclass(frozen=True, slots=True)
class PhaseSettings:
    """The names of a phase's settings: its duration, its rows, and how long it may last for lack of rows."""

    duration: str
    samples: str
    longest: str


SHADOW_SETTINGS = PhaseSettings("shadow.duration", "shadow.min_samples", "shadow.max_duration")
STEP_SETTINGS = PhaseSettings("canary.step_duration", "canary.min_samples", "canary.max_step_duration")


@dataclass(frozen=True, slots=True)
class PhasePace:
    """How long one phase takes.

    Parameters
    ----------
    rows
        The rows that it needs.
    planned
        Its duration in model.yaml.
    needed
        How long its rows take at this traffic; None without any.
    cap
        How long it may last while rows are missing.
    skipped
        Whether this step is skipped because it would take longer than its cap.
    """

    name: str
    rows: int
    planned: timedelta
    needed: timedelta | None
    cap: timedelta
    settings: PhaseSettings
    skipped: bool = False

    @property
    def fits(self) -> bool:
        """Whether the rows come before the cap."""
        return self.needed is not None and self.needed <= self.cap

    @property
    def expected(self) -> timedelta:
        """How long the phase takes, without doubts that extend it."""
        if self.skipped:
            return timedelta(0)
        return max(self.planned, min(self.needed or self.cap, self.cap))

    @property
    def sentence(self) -> str:
        """The phase in a few words."""
        needed = "no rows come" if self.needed is None else f"{self.rows} rows take {_span(self.needed)}"
        limit = f"{self.settings.longest} is {_span(self.cap)}"
        if self.skipped:
            return f"{self.name} is skipped ({needed}{'' if self.fits else f', {limit}'})"
        if not self.fits:
            return f"{self.name} would end as inconclusive ({needed}, {limit})"
        if self.expected > self.planned:
            planned = f"{self.settings.duration} is {_span(self.planned)}"
            return f"{self.name} {_span(self.expected)} ({self.rows} rows; {planned})"
        return f"{self.name} {_span(self.expected)}"

    @property
    def remedy(self) -> str:
        """What to set where the phase does not fit; "" where it does."""
        if self.fits or self.skipped:
            return ""
        if self.needed is None:
            return "send requests through the gateway"
        longer = f"raise {self.settings.longest}"
        if self.needed < _MAX_SUGGESTED:
            longer += f" to {_round_up(self.needed)}"
        rows = int(self.rows * (self.cap / self.needed))
        return f"lower {self.settings.samples} to {rows} or {longer}" if rows else longer

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, durations in seconds."""
        return {
            "name": self.name,
            "rows": self.rows,
            "planned_seconds": self.planned.total_seconds(),
            "needed_seconds": None if self.needed is None else self.needed.total_seconds(),
            "longest_seconds": self.cap.total_seconds(),
            "expected_seconds": self.expected.total_seconds(),
            "fits": self.fits,
            "skipped": self.skipped,
        }


def rollout_pace(plan: Plan, rows_per_hour: float) -> tuple[PhasePace, ...]:
    """Return how long shadow and each canary step take when the model gets so many rows an hour.

    Steps before :func:`first_step` are skipped.
    """
    first = first_step(plan, rows_per_hour)
    phases = []
    if plan.shadow > timedelta(0):
        needed = time_for_rows(max(1, plan.shadow_min_samples), rows_per_hour)
        cap = max(2 * plan.shadow, plan.max_shadow or timedelta(0))
        phases.append(PhasePace("shadow", plan.shadow_min_samples, plan.shadow, needed, cap, SHADOW_SETTINGS))
    for step, share in enumerate(plan.steps):
        phases.append(
            PhasePace(
                f"canary step {step + 1} ({share:.0%})",
                plan.min_samples,
                plan.step_duration,
                time_for_rows(max(1, plan.min_samples), rows_per_hour * share),
                max(2 * plan.step_duration, plan.max_step or timedelta(0)),
                STEP_SETTINGS,
                skipped=step < first,
            )
        )
    return tuple(phases)


def first_step(plan: Plan, rows_per_hour: float) -> int:
    """Return the first canary step whose rows come within ``canary.max_step_duration``.

    The last step is never skipped: with still less traffic it ends as inconclusive. Without a cap (a rollout
    that began under release 0.1) or without traffic, no step is skipped.
    """
    if plan.max_step is None or rows_per_hour <= 0:
        return 0
    cap = max(2 * plan.step_duration, plan.max_step)
    feasible = (
        step
        for step, share in enumerate(plan.steps)
        if plan.min_samples <= rows_per_hour * share * (cap / timedelta(hours=1))
    )
    return next(feasible, len(plan.steps) - 1)


def expected_time(phases: Sequence[PhasePace]) -> timedelta | None:
    """Return how long the phases take together; None when one does not fit."""
    if any(phase.remedy for phase in phases):
        return None
    return sum((phase.expected for phase in phases), timedelta(0))


@dataclass(frozen=True, slots=True)
class RolloutPace:
    """A model's traffic, and how long each phase of a rollout takes at it."""

    rate: TrafficRate
    phases: tuple[PhasePace, ...]

    @classmethod
    def of(cls, plan: Plan, rate: TrafficRate) -> RolloutPace:
        """Return the pace of a whole rollout with these settings."""
        return cls(rate, rollout_pace(plan, rate.rows_per_hour))

    @property
    def sentence(self) -> str:
        """The traffic, the phases, and how long they take together if all fit."""
        whole = expected_time(self.phases)
        parts = ", ".join(phase.sentence for phase in self.phases)
        return f"at {self.rate}: {parts}" + ("" if whole is None else f"; about {_span(whole)} in all")

    @property
    def remedy(self) -> str:
        """What to set so that all phases fit; "" when they do."""
        slowest: dict[PhaseSettings, PhasePace] = {}
        # Canary steps share their settings: what the slowest one needs is enough for all.
        for phase in sorted(self.phases, key=lambda phase: phase.needed or timedelta(0)):
            if phase.remedy:
                slowest[phase.settings] = phase
        return "; ".join(
            dict.fromkeys(
                slowest[each].remedy for each in (SHADOW_SETTINGS, STEP_SETTINGS) if each in slowest
            )
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, durations in seconds."""
        return {
            "rows_per_hour": self.rate.rows_per_hour,
            "source": self.rate.source,
            "phases": [phase.to_json() for phase in self.phases],
            "sentence": self.sentence,
            "remedy": self.remedy,
        }


def time_for_rows(rows: int, rows_per_hour: float) -> timedelta | None:
    """Return how long so many rows take; None when none come."""
    if rows_per_hour <= 0:
        return None
    try:
        return timedelta(hours=rows / rows_per_hour)
    except OverflowError:
        return timedelta.max


def _span(value: timedelta) -> str:
    return describe_duration(value)


def _round_up(value: timedelta) -> str:
    """Return a setting of at least this duration, in whole days, or in hours below two days."""
    unit = timedelta(days=1) if value > timedelta(days=2) else timedelta(hours=1)
    return format_duration(unit * ceil(value / unit))
