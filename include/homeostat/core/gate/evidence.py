"""What a candidate brings to the gate, the shape of a check, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, Self

from homeostat.config import ModelConfig

Verdict = Literal["pass", "alert", "not_computable"]
Scores = Mapping[str, float | None]
Slices = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Scores of candidate and champion on the *same* holdout, and what else the checks ask for.

    ``champion`` is None only when there is no champion; one whose score is not known has ``{}``.
    Anything else that is not known is None. ``slices`` map ``"season=1"`` to ``{"rows", "score"}``.
    ``parity`` are differences between the two environments, as sentences: reported, not judged. Where
    ``training.parity`` is ``required``, the run has stopped before the fit, or was forced, as is said here.
    """

    candidate: Scores = field(default_factory=dict)
    champion: Scores | None = None
    training_rows: int | None = None
    p99_latency_ms: float | None = None
    nan_rate: float | None = None
    distinct_predictions: int | None = None
    slices: Slices = field(default_factory=dict)
    champion_slices: Slices = field(default_factory=dict)
    parity: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        candidate: Mapping[str, Any],
        champion: Mapping[str, Any] | None,
        training_rows: int | None,
        parity: Sequence[str] = (),
    ) -> Self:
        """From two evaluations as plain JSON; what they lack is not known.

        Their keys are ``metrics``, ``nan_rate``, ``p99_latency_ms``, ``slices`` and
        ``distinct_predictions``.
        """
        return cls(
            candidate=candidate.get("metrics") or {},
            champion=None if champion is None else champion.get("metrics") or {},
            training_rows=training_rows,
            p99_latency_ms=candidate.get("p99_latency_ms"),
            nan_rate=candidate.get("nan_rate"),
            distinct_predictions=candidate.get("distinct_predictions"),
            slices=candidate.get("slices") or {},
            champion_slices=(champion or {}).get("slices") or {},
            parity=tuple(parity),
        )


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's answer. ``value`` is what was found, ``threshold`` what it was held against."""

    name: str
    verdict: Verdict
    value: float | None
    threshold: float | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


class Check(Protocol):
    """Judge one thing about a candidate; without evidence the answer is ``not_computable``."""

    def __call__(self, evidence: Evidence, config: ModelConfig) -> CheckResult:
        """Answer from the evidence alone."""


def known(value: Any) -> float | None:
    """The number, or None for None, NaN, infinities and what is no number: those are no evidence."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
