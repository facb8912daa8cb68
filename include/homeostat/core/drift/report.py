"""What a drift check found, per feature and together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from homeostat.core.profile import Kind

Verdict = Literal["pass", "alert", "not_computable"]
Severity = Literal["critical", "warning", "info"]
Finding = Literal["missing", "new", "retyped", "new_category", "missing_rate"]


@dataclass(frozen=True, slots=True)
class SchemaFinding:
    """Where the rows break the contract of model.yaml, or of the reference."""

    column: str
    kind: Finding
    detail: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class FeatureVerdict:
    """One feature's comparison; a figure that could not be computed, or does not apply, is None.

    ``verdict`` is alert when the distribution drifted, when too many values are unseen, or when the
    missing rate rose too far; ``reason`` says which. ``drifted`` is the part that a retrain could
    learn from (distribution, and categories never seen): missing values are somebody's fault
    upstream. It is None when it could not be told.
    """

    name: str
    kind: Kind
    verdict: Verdict
    reason: str
    drifted: bool | None
    ks: float | None = None
    ks_error: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    psi: float | None = None
    chi2: float | None = None
    cramers_v: float | None = None
    js: float | None = None
    wasserstein: float | None = None
    missing_reference: float | None = None
    missing_current: float | None = None
    unseen_share: float | None = None

    @property
    def effect(self) -> float | None:
        """What ``min_effect`` is held against: KS distance of numbers, Cramer's V of categories."""
        return self.ks if self.kind == "number" else self.cramers_v


@dataclass(frozen=True, slots=True)
class DriftReport:
    """All features of one window.

    ``drifted_share`` is the share of drifted features among those that the reference can judge;
    ``outputs`` (prediction, confidence) are reported beside them and never in that share.
    """

    verdict: Verdict
    reason: str
    rows: int
    drifted_share: float | None
    features: tuple[FeatureVerdict, ...] = ()
    outputs: tuple[FeatureVerdict, ...] = ()
    schema: tuple[SchemaFinding, ...] = ()

    def with_outputs(self, outputs: Iterable[FeatureVerdict]) -> DriftReport:
        """The same report with other outputs, such as those of one version's answers alone."""
        return replace(self, outputs=tuple(outputs))

    def with_schema(self, findings: Iterable[SchemaFinding]) -> DriftReport:
        """The same report with these findings instead of its own."""
        return replace(self, schema=tuple(findings))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: no NaN, no numpy."""
        return {
            **{name: getattr(self, name) for name in ("verdict", "reason", "rows", "drifted_share")},
            **{
                name: [asdict(item) for item in getattr(self, name)]
                for name in ("features", "outputs", "schema")
            },
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> DriftReport:
        """Read what :meth:`to_json` wrote; keys that this release does not know are passed over."""
        return cls(
            verdict=raw["verdict"],
            reason=raw["reason"],
            rows=int(raw["rows"]),
            drifted_share=raw["drifted_share"],
            features=tuple(_of(FeatureVerdict, item) for item in raw.get("features", ())),
            outputs=tuple(_of(FeatureVerdict, item) for item in raw.get("outputs", ())),
            schema=tuple(_of(SchemaFinding, item) for item in raw.get("schema", ())),
        )


def _of(kind: Any, raw: Mapping[str, Any]) -> Any:
    return kind(**{f.name: raw[f.name] for f in fields(kind) if f.name in raw})
