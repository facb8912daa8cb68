"""What a health check answers, and what it may look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite, log
from typing import Any, Protocol

from homeostat.core.rollout.evidence import CANDIDATE, CHAMPION, CONTROL, SHADOW, Evidence, Tally
from homeostat.core.rollout.phases import Phase, Plan, Rollout

#: The chance that in a whole rollout any test takes back a candidate that behaves like the version beside it.
ALPHA = 0.01
#: A gambler who has three times the first stake makes one want to see more before a phase ends.
DOUBT = log(3)


class Verdict(StrEnum):
    """What a check says about a candidate."""

    PASS = "PASS"  # noqa: S105 - the word of a verdict, no password
    FAIL = "FAIL"
    CONTINUE = "CONTINUE"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class HealthResult:
    """PASS, FAIL, CONTINUE (too early or in doubt) or INCONCLUSIVE (nothing to compare with), and why.

    ``figures`` are plain numbers; one that is not finite is left out.
    """

    name: str
    verdict: Verdict
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON without NaN."""
        figures = {
            name: value if isinstance(value, int) else round(float(value), 6)
            for name, value in self.figures.items()
            if isfinite(value)
        }
        return {"name": self.name, "verdict": str(self.verdict), "reason": self.reason, "figures": figures}


@dataclass(frozen=True, slots=True)
class Case:
    """The evidence on one candidate, under the names that the checks use.

    ``alpha`` is the check's own part of :data:`ALPHA` for the whole rollout; a check that starts afresh
    at every step divides it by :attr:`tests`.
    """

    plan: Plan
    stage: str
    evidence: Evidence
    alpha: float

    @classmethod
    def of(cls, rollout: Rollout, evidence: Evidence, alpha: float) -> Case:
        """The case of the rollout's present stage."""
        return cls(rollout.plan, rollout.stage, evidence, alpha)

    def tally(self, stage: str, variant: str) -> Tally:
        """The counts of a variant in a stage; all zero when there are none."""
        return self.evidence.get((stage, variant), Tally())

    @property
    def in_shadow(self) -> bool:
        """Whether the candidate still answers unseen."""
        return self.stage == Phase.SHADOW

    @property
    def tests(self) -> int:
        """How many times a check that starts afresh at every canary step starts."""
        return max(1, len(self.plan.steps))

    @property
    def needed(self) -> int:
        """Answers of the candidate that this stage asks for."""
        return self.plan.shadow_min_samples if self.in_shadow else self.plan.min_samples

    @property
    def candidate(self) -> Tally:
        """What the candidate did in this stage."""
        return self.tally(self.stage, SHADOW if self.in_shadow else CANDIDATE)

    @property
    def control(self) -> Tally:
        """The champion's version beside it: the equally large cohort, or all the rest where none fits."""
        control = self.tally(self.stage, CONTROL)
        return control if control.answers else self.tally(self.stage, CHAMPION)

    @property
    def own_shadow(self) -> Tally:
        """What the candidate did while nobody saw it."""
        return self.tally(Phase.SHADOW, SHADOW)

    @property
    def champion_then(self) -> Tally:
        """What the champion did while the candidate was in shadow."""
        return self.tally(Phase.SHADOW, CHAMPION)

    @property
    def canary(self) -> Tally:
        """What the candidate did in all canary steps so far: its answers do not depend on its share."""
        return total(self.tally(stage, CANDIDATE) for stage in self.canary_stages)

    @property
    def canary_control(self) -> Tally:
        """What the control cohort did in all canary steps so far, or the champion where there was none."""
        control = total(self.tally(stage, CONTROL) for stage in self.canary_stages)
        return control if control.answers else total(self.tally(s, CHAMPION) for s in self.canary_stages)

    @property
    def champion_now(self) -> Tally:
        """What the champion's version did in all canary steps so far, cohort or not."""
        return total(other for _, other in self.sides[1:])

    @property
    def canary_stages(self) -> tuple[str, ...]:
        """The names of all canary steps."""
        return tuple(f"canary:{step}" for step in range(len(self.plan.steps)))

    @property
    def sides(self) -> tuple[tuple[Tally, Tally], ...]:
        """Per stage: the candidate's counts, and those of the champion's version, cohort or not."""
        shadow = (self.own_shadow, self.champion_then)
        steps = (
            (self.tally(stage, CANDIDATE), self.tally(stage, CONTROL) + self.tally(stage, CHAMPION))
            for stage in self.canary_stages
        )
        return (shadow, *steps)


def conclude(
    case: Case,
    name: str,
    seen: str,
    figures: Mapping[str, float],
    *,
    fail: str = "",
    doubt: str = "",
    fine: str,
) -> HealthResult:
    """FAIL when it is sure, CONTINUE with too few answers or in doubt, else PASS.

    ``seen`` says what was observed; ``fail``, ``doubt`` (empty where they do not hold) and ``fine`` say
    what it means.
    """
    if fail:
        return HealthResult(name, Verdict.FAIL, f"{seen}: {fail}", figures)
    if case.candidate.answers < case.needed:
        return HealthResult(name, Verdict.CONTINUE, f"{seen}; {case.needed} answers are needed", figures)
    if doubt:
        return HealthResult(name, Verdict.CONTINUE, f"{seen}: {doubt}", figures)
    return HealthResult(name, Verdict.PASS, f"{seen}: {fine}", figures)


def incomparable(case: Case, name: str, reason: str, figures: Mapping[str, float]) -> HealthResult:
    """CONTINUE while the evidence may still come, INCONCLUSIVE when the answers came without it."""
    verdict = Verdict.CONTINUE if case.candidate.answers < case.needed else Verdict.INCONCLUSIVE
    return HealthResult(name, verdict, reason, figures)


class HealthCheck(Protocol):
    """One question about a candidate. Pure: the same case always gets the same answer."""

    def __call__(self, case: Case) -> HealthResult:
        """Never raises on evidence that is missing, and never passes without any."""


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum of counts."""
    result = Tally()
    for tally in tallies:
        result = result + tally
    return result
