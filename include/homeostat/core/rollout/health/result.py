"""Input and result of a health check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite, log
from typing import Any, Protocol

from homeostat.core.rollout.evidence import CANDIDATE, CHAMPION, CONTROL, SHADOW, Evidence, Tally
from homeostat.core.rollout.health.check_names import HealthCheckName
from homeostat.core.rollout.phases import Phase, Plan, Rollout

#: The probability that in a whole rollout any test rolls back a candidate that behaves like the champion.
ALPHA = 0.01
#: From this log e-value on a check is in doubt: CONTINUE, the phase needs more evidence.
DOUBT = log(3)


class HealthVerdict(StrEnum):
    """The outcome of a health check. The values are stored in the ledger."""

    PASS = "PASS"  # noqa: S105 - the word of a verdict, no password
    FAIL = "FAIL"
    CONTINUE = "CONTINUE"
    INCONCLUSIVE = "INCONCLUSIVE"


#: The sentence of each verdict.
VERDICT_SENTENCES: Mapping[HealthVerdict, str] = {
    HealthVerdict.PASS: "Enough rows, and no sign of a fault.",
    HealthVerdict.FAIL: "A limit is exceeded significantly: the version is rolled back.",
    HealthVerdict.CONTINUE: "Too few rows, or a suspicion that is not significant yet: the phase goes on.",
    HealthVerdict.INCONCLUSIVE: "It cannot be judged; this does not block the rollout.",
}


@dataclass(frozen=True, slots=True)
class HealthCheckResult:
    """The verdict and reason of one check. ``figures`` are plain numbers, without NaN."""

    name: HealthCheckName
    verdict: HealthVerdict
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON without NaN."""
        figures = {
            name: value if isinstance(value, int) else round(float(value), 6)
            for name, value in self.figures.items()
            if isfinite(value)
        }
        return {
            "name": str(self.name),
            "verdict": str(self.verdict),
            "reason": self.reason,
            "figures": figures,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> HealthCheckResult:
        """Read what :meth:`to_json` wrote; an unknown name or verdict raises ValueError."""
        name, verdict = HealthCheckName(raw["name"]), HealthVerdict(raw["verdict"])
        return cls(name, verdict, raw.get("reason", ""), raw.get("figures") or {})


@dataclass(frozen=True, slots=True)
class CandidateEvidence:
    """The evidence about one candidate, under the names that the checks use.

    ``alpha`` is the check's part of :data:`ALPHA` for the whole rollout; a check that starts a new test at
    every step divides it by :attr:`tests`.
    """

    plan: Plan
    stage: str
    tallies: Evidence
    alpha: float

    @classmethod
    def of(cls, rollout: Rollout, evidence: Evidence, alpha: float) -> CandidateEvidence:
        """Return the evidence for the rollout's current stage."""
        return cls(rollout.plan, rollout.stage, evidence, alpha)

    def tally(self, stage: str, variant: str) -> Tally:
        """Return the counts of a variant in a stage; all zero when there are none."""
        return self.tallies.get((stage, variant), Tally())

    @property
    def in_shadow(self) -> bool:
        """Whether the candidate is in shadow."""
        return self.stage == Phase.SHADOW

    @property
    def tests(self) -> int:
        """How many tests a check runs that starts a new one at every canary step."""
        return max(1, len(self.plan.steps))

    @property
    def needed(self) -> int:
        """Rows of the candidate that this stage needs."""
        return self.plan.shadow_min_samples if self.in_shadow else self.plan.min_samples

    @property
    def setting(self) -> str:
        """The setting of model.yaml that decides :attr:`needed`."""
        return "shadow.min_samples" if self.in_shadow else "canary.min_samples"

    @property
    def candidate(self) -> Tally:
        """The candidate's counts in this stage."""
        return self.tally(self.stage, SHADOW if self.in_shadow else CANDIDATE)

    @property
    def control(self) -> Tally:
        """The champion's counts in this stage: the control cohort's, or all others where there is none."""
        control = self.tally(self.stage, CONTROL)
        return control if control.rows else self.tally(self.stage, CHAMPION)

    @property
    def own_shadow(self) -> Tally:
        """The candidate's counts in shadow."""
        return self.tally(Phase.SHADOW, SHADOW)

    @property
    def champion_then(self) -> Tally:
        """The champion's counts while the candidate was in shadow."""
        return self.tally(Phase.SHADOW, CHAMPION)

    @property
    def canary(self) -> Tally:
        """The candidate's counts in all canary steps so far: predictions do not depend on the share."""
        return total(self.tally(stage, CANDIDATE) for stage in self.canary_stages)

    @property
    def canary_control(self) -> Tally:
        """The control cohort's counts in all canary steps so far, or the champion's where there was none."""
        control = total(self.tally(stage, CONTROL) for stage in self.canary_stages)
        return control if control.rows else total(self.tally(s, CHAMPION) for s in self.canary_stages)

    @property
    def champion_now(self) -> Tally:
        """The champion's counts in all canary steps so far, control cohort included."""
        return total(other for _, other in self.sides[1:])

    @property
    def canary_stages(self) -> tuple[str, ...]:
        """The stages of all canary steps."""
        return tuple(f"canary:{step}" for step in range(len(self.plan.steps)))

    @property
    def sides(self) -> tuple[tuple[Tally, Tally], ...]:
        """Per stage: the candidate's counts, and the champion's, control cohort included."""
        shadow = (self.own_shadow, self.champion_then)
        steps = (
            (self.tally(stage, CANDIDATE), self.tally(stage, CONTROL) + self.tally(stage, CHAMPION))
            for stage in self.canary_stages
        )
        return (shadow, *steps)


def conclude(
    evidence: CandidateEvidence,
    name: HealthCheckName,
    seen: str,
    figures: Mapping[str, float],
    *,
    fail: str = "",
    doubt: str = "",
    fine: str,
) -> HealthCheckResult:
    """Return FAIL when ``fail`` is given, CONTINUE with too few rows or when ``doubt`` is given, else PASS.

    ``seen`` describes the observation; ``fail``, ``doubt`` (empty where they do not apply) and ``fine``
    complete the reason.
    """
    if fail:
        return HealthCheckResult(name, HealthVerdict.FAIL, f"{seen}: {fail}", figures)
    if evidence.candidate.rows < evidence.needed:
        return HealthCheckResult(
            name,
            HealthVerdict.CONTINUE,
            f"{seen}; {evidence.needed} rows are needed ({evidence.setting})",
            figures,
        )
    if doubt:
        return HealthCheckResult(name, HealthVerdict.CONTINUE, f"{seen}: {doubt}", figures)
    return HealthCheckResult(name, HealthVerdict.PASS, f"{seen}: {fine}", figures)


def incomparable(
    evidence: CandidateEvidence, name: HealthCheckName, reason: str, figures: Mapping[str, float]
) -> HealthCheckResult:
    """Return CONTINUE while evidence may still arrive, INCONCLUSIVE when enough rows came without it."""
    verdict = (
        HealthVerdict.CONTINUE if evidence.candidate.rows < evidence.needed else HealthVerdict.INCONCLUSIVE
    )
    return HealthCheckResult(name, verdict, reason, figures)


class HealthCheck(Protocol):
    """One check of a candidate. Pure: the same evidence always gives the same result."""

    __name__: str

    def __call__(self, evidence: CandidateEvidence) -> HealthCheckResult:
        """Return the result; never raise on missing evidence, and never pass without any."""


def total(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of counts."""
    result = Tally()
    for tally in tallies:
        result = result + tally
    return result
