"""The input and the result of a gate check."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, Self

from homeostat.config import ModelConfig

GateVerdict = Literal["pass", "alert", "not_computable"]
Scores = Mapping[str, float | None]
Slices = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True, slots=True)
class GateEvidence:
    """Scores of candidate and champion on the *same* holdout, and what else the checks need.

    ``champion`` is None only when there is no champion; one whose score is not known has ``{}``.
    ``undefined`` and ``champion_undefined`` say why the gate's metric is not among them, where that is known.
    Anything else that is not known is None. ``slices`` map ``"season=1"`` to ``{"rows", "score"}``.

    ``drop_error`` is the standard error of how much the two differ in the gate's metric, ``slice_errors`` the
    same by slice. ``decayed_slices`` are those that started the retrain, as ``{"rows", "candidate",
    "champion"}`` with their accuracy or mean absolute error there.

    Latencies are of single rows in milliseconds, of the versions that serve. ``unloaded_p99_ms`` leaves out
    the time in which a call had no CPU. ``slowdown`` compares candidate and champion, timed side by side, as
    ``{"ratio", "low", "high", "added_ms"}``: the median ratio of their times with its 99 % interval, and the
    median difference. ``machine_slowdown`` is the champion's time now / when it was validated.
    ``members_ratio`` is how many members the candidate has for each of the champion's: a committee of three
    needs three predictions per row.

    ``environment_differences`` are sentences about candidate and champion; they are reported and do not
    affect the decision. With ``training.parity: enforce`` the run has stopped before the fit, or was forced,
    which is one of the sentences.
    """

    candidate: Scores = field(default_factory=dict)
    champion: Scores | None = None
    training_rows: int | None = None
    p99_latency_ms: float | None = None
    unloaded_p99_ms: float | None = None
    champion_unloaded_p99_ms: float | None = None
    slowdown: Mapping[str, Any] | None = None
    machine_slowdown: float | None = None
    members_ratio: float | None = None
    nan_rate: float | None = None
    distinct_predictions: int | None = None
    slices: Slices = field(default_factory=dict)
    champion_slices: Slices = field(default_factory=dict)
    slice_errors: Scores = field(default_factory=dict)
    decayed_slices: Slices = field(default_factory=dict)
    environment_differences: Sequence[str] = ()
    drop_error: float | None = None
    undefined: str = ""
    champion_undefined: str = ""

    @classmethod
    def of(
        cls,
        candidate: Mapping[str, Any],
        champion: Mapping[str, Any] | None,
        training_rows: int | None,
        environment_differences: Sequence[str] = (),
    ) -> Self:
        """Build it from two evaluations as plain JSON; what they lack is not known.

        Their keys are ``metrics``, ``nan_rate``, ``p99_latency_ms``, ``unloaded_p99_ms``, ``slices``,
        ``distinct_predictions`` and ``undefined``; the candidate's also ``slowdown``,
        ``machine_slowdown``, ``members_ratio``, ``drop_error``, ``slice_errors`` and ``decayed_slices``.
        """
        return cls(
            candidate=candidate.get("metrics") or {},
            champion=None if champion is None else champion.get("metrics") or {},
            training_rows=training_rows,
            p99_latency_ms=candidate.get("p99_latency_ms"),
            unloaded_p99_ms=candidate.get("unloaded_p99_ms"),
            champion_unloaded_p99_ms=(champion or {}).get("unloaded_p99_ms"),
            slowdown=candidate.get("slowdown"),
            machine_slowdown=candidate.get("machine_slowdown"),
            members_ratio=candidate.get("members_ratio"),
            nan_rate=candidate.get("nan_rate"),
            distinct_predictions=candidate.get("distinct_predictions"),
            slices=candidate.get("slices") or {},
            champion_slices=(champion or {}).get("slices") or {},
            slice_errors=candidate.get("slice_errors") or {},
            decayed_slices=candidate.get("decayed_slices") or {},
            environment_differences=tuple(environment_differences),
            drop_error=candidate.get("drop_error"),
            undefined=str(candidate.get("undefined") or ""),
            champion_undefined=str((champion or {}).get("undefined") or ""),
        )


@dataclass(frozen=True, slots=True)
class GateCheckResult:
    """The result of one check. ``value`` is compared with ``threshold``."""

    name: str
    verdict: GateVerdict
    value: float | None
    threshold: float | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


class GateCheck(Protocol):
    """Check one property of a candidate; without evidence the verdict is ``not_computable``."""

    def __call__(self, evidence: GateEvidence, config: ModelConfig) -> GateCheckResult:
        """Decide from the evidence alone."""


def finite_or_none(value: Any) -> float | None:
    """Return the value as a float; None for NaN, infinities and anything that is not a number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
