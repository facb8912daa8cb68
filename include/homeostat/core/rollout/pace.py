"""How long a rollout takes at a model's traffic: settings and traffic must fit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from homeostat.config.duration import describe_duration
from homeostat.core.rollout.phases import Plan


@dataclass(frozen=True, slots=True)
class PhasePace:
    """How long one phase takes.

    Parameters
    ----------
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
    settings: tuple[str, str]
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
        """The phase in a few words, with the settings to change where it does not fit."""
        samples, longest = self.settings
        needed = "no rows come" if self.needed is None else f"{self.rows} rows take {_span(self.needed)}"
        if self.skipped:
            return f"{self.name} is skipped ({needed}, {longest} is {_span(self.cap)})"
        if not self.fits:
            return (
                f"{self.name} would end as inconclusive: {needed}, {longest} is {_span(self.cap)};"
                f" lower {samples} or raise {longest}"
            )
        return f"{self.name} {_span(self.expected)}"


def rollout_pace(plan: Plan, rows_per_hour: float) -> tuple[PhasePace, ...]:
    """Return how long shadow and each canary step take when the model gets so many rows an hour.

    Steps before :func:`first_step` are skipped.
    """
    first = first_step(plan, rows_per_hour)
    phases = []
    if plan.shadow > timedelta(0):
        settings = ("shadow.min_samples", "shadow.max_duration")
        needed = _time_for(plan.shadow_min_samples, rows_per_hour)
        cap = max(2 * plan.shadow, plan.max_shadow or timedelta(0))
        phases.append(PhasePace("shadow", plan.shadow_min_samples, plan.shadow, needed, cap, settings))
    settings = ("canary.min_samples", "canary.max_step_duration")
    for step, share in enumerate(plan.steps):
        phases.append(
            PhasePace(
                f"canary step {step + 1} ({share:.0%})",
                plan.min_samples,
                plan.step_duration,
                _time_for(plan.min_samples, rows_per_hour * share),
                max(2 * plan.step_duration, plan.max_step or timedelta(0)),
                settings,
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


def describe_pace(plan: Plan, rows_per_hour: float) -> str:
    """Describe a rollout at this traffic in one sentence."""
    phases = rollout_pace(plan, rows_per_hour)
    parts = ", ".join(phase.sentence for phase in phases)
    whole = sum((phase.expected for phase in phases), timedelta(0))
    total = f"; about {_span(whole)} in all" if all(phase.fits or phase.skipped for phase in phases) else ""
    return f"at {rows_per_hour:.3g} rows an hour: {parts}{total}"


def _time_for(rows: int, rows_per_hour: float) -> timedelta | None:
    if rows_per_hour <= 0:
        return None
    try:
        return timedelta(hours=max(1, rows) / rows_per_hour)
    except OverflowError:
        return timedelta.max


def _span(value: timedelta) -> str:
    return describe_duration(value)
