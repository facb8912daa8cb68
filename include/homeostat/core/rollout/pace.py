"""How long a rollout takes at a model's traffic: settings and traffic must fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil
from typing import Any

from homeostat.config.duration import describe_duration, format_duration
from homeostat.config.model import MAX_REVERSE_SHADOW
from homeostat.core.rollout.phases import Plan

#: A phase that would take longer than this is not suggested as a setting.
_MAX_SUGGESTED = timedelta(days=365)


#: So many rows are enough for a shadow that has waited for ``shadow.wait_for_samples``.
MIN_SHADOW_ROWS = 30


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
SKIPPED_SETTINGS = replace(STEP_SETTINGS, longest="canary.skip_longer_than")


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
    wanted, in_full
        The rows of ``min_samples`` and how long they would take, where it does not wait for all of them.
    """

    name: str
    rows: int
    planned: timedelta
    needed: timedelta | None
    cap: timedelta
    settings: PhaseSettings
    skipped: bool = False
    wanted: int = 0
    in_full: timedelta | None = None

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
            if self.in_full is not None:
                planned = f"shadow.wait_for_samples; {self.wanted} rows would take {_span(self.in_full)}"
                return f"{self.name} {_span(self.expected)} ({planned})"
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
        phases.append(_shadow_pace(plan, rows_per_hour))
    for step, share in enumerate(plan.steps):
        skipped = step < first
        limited = skipped and plan.skip_step is not None
        cap = max(2 * plan.step_duration, plan.max_step or timedelta(0))
        phases.append(
            PhasePace(
                f"canary step {step + 1} ({share:.0%})",
                plan.min_samples,
                plan.step_duration,
                time_for_rows(max(1, plan.min_samples), rows_per_hour * share),
                longest_step(plan) if limited else cap,
                SKIPPED_SETTINGS if limited else STEP_SETTINGS,
                skipped=skipped,
            )
        )
    return tuple(phases)


def _shadow_pace(plan: Plan, rows_per_hour: float) -> PhasePace:
    """Return how long the shadow takes; with little traffic it does not wait for all rows."""
    cap = max(2 * plan.shadow, plan.max_shadow or timedelta(0))
    rows, in_full = plan.shadow_min_samples, time_for_rows(max(1, plan.shadow_min_samples), rows_per_hour)
    whole = PhasePace("shadow", rows, plan.shadow, in_full, cap, SHADOW_SETTINGS)
    few = min(rows, MIN_SHADOW_ROWS)
    some = time_for_rows(max(1, few), rows_per_hour)
    if plan.shadow_wait is None or in_full is None or some is None or in_full <= max(plan.shadow_wait, some):
        return whole
    enough = few if some > plan.shadow_wait else rows
    needed = max(plan.shadow_wait, some)
    return replace(whole, rows=enough, needed=needed, wanted=rows, in_full=in_full)


def first_step(plan: Plan, rows_per_hour: float) -> int:
    """Return the first canary step whose rows come within ``canary.skip_longer_than``.

    The number of steps where none does: the version is then promoted after its shadow, and the former
    champion predicts beside it. With little traffic a canary takes weeks, in which the worse version serves,
    and the reverse shadow compares both versions on twice the rows.

    The last step is not skipped where nothing takes the canary's place: a person has to approve, there is no
    reverse shadow, or the rollout began under an older release. Without a cap (release 0.1) or without
    traffic, no step is skipped.
    """
    if plan.max_step is None or rows_per_hour <= 0:
        return 0
    cap = longest_step(plan)
    feasible = (
        step
        for step, share in enumerate(plan.steps)
        if plan.min_samples <= rows_per_hour * share * (cap / timedelta(hours=1))
    )
    replaceable = plan.skip_step is not None and plan.reverse_shadow > timedelta(0) and not plan.approval
    return next(feasible, len(plan.steps) if replaceable else len(plan.steps) - 1)


def longest_step(plan: Plan) -> timedelta:
    """Return how long a canary step may take at the shadow's traffic before it is skipped."""
    longest = plan.max_step or timedelta(0)
    if plan.skip_step is not None:
        longest = min(longest, plan.skip_step)
    return max(2 * plan.step_duration, longest)


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
        whole_text = "" if whole is None else f"; about {_span(whole)} in all"
        return f"at {self.rate}: {parts}{whole_text}{self._without_canary}"

    @property
    def _without_canary(self) -> str:
        steps = [phase for phase in self.phases if phase.settings is not SHADOW_SETTINGS]
        if not steps or not all(step.skipped for step in steps):
            return ""
        return (
            ". So little traffic has no canary: the version is promoted after its shadow, and the former"
            f" champion stays in shadow for {_span(MAX_REVERSE_SHADOW)}"
        )

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
