"""The result of a drift check: one verdict per feature and one for the data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from homeostat.core.profile import FeatureKind

#: The verdict on a feature or a data set; ``not_computable`` is neither healthy nor an alert.
DriftVerdict = Literal["pass", "alert", "not_computable"]
Severity = Literal["critical", "warning", "info"]
FindingKind = Literal["missing", "new", "retyped", "new_category", "missing_rate"]


@dataclass(frozen=True, slots=True)
class SchemaFinding:
    """A column that violates the schema of model.yaml, or differs from the reference in its values."""

    column: str
    kind: FindingKind
    detail: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class FeatureVerdict:
    """One feature's verdict and statistics; a statistic that was not computed or does not apply is None.

    ``verdict`` is alert when the distribution drifted, when too many values are unseen, or when the
    missing rate rose too far; ``reason`` says which. ``drifted`` covers only what a retrain can learn
    from, the distribution and new categories; missing values are a fault upstream. It is None when it
    could not be computed.
    """

    name: str
    kind: FeatureKind
    verdict: DriftVerdict
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
        """The effect size that ``monitor.min_effect`` limits: KS distance or Cramer's V."""
        return self.ks if self.kind == "number" else self.cramers_v


@dataclass(frozen=True, slots=True)
class DriftReport:
    """All features of one window.

    ``drifted_share`` is the share of drifted features among those with a comparable reference;
    ``outputs`` (prediction, confidence) are reported separately and never count in that share.
    """

    verdict: DriftVerdict
    reason: str
    rows: int
    drifted_share: float | None
    features: tuple[FeatureVerdict, ...] = ()
    outputs: tuple[FeatureVerdict, ...] = ()
    schema: tuple[SchemaFinding, ...] = ()

    def with_outputs(self, outputs: Iterable[FeatureVerdict]) -> DriftReport:
        """Return the report with other outputs, such as those of one version's predictions alone."""
        return replace(self, outputs=tuple(outputs))

    def with_schema(self, findings: Iterable[SchemaFinding]) -> DriftReport:
        """Return the report with these findings instead of its own."""
        return replace(self, schema=tuple(findings))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON: no NaN, no numpy."""
        return {
            **{name: getattr(self, name) for name in ("verdict", "reason", "rows", "drifted_share")},
            **{
                name: [asdict(item) for item in getattr(self, name)]
                for name in ("features", "outputs", "schema")
            },
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> DriftReport:
        """Read what :meth:`to_json` wrote; unknown keys are ignored."""
        return cls(
            verdict=raw["verdict"],
            reason=raw["reason"],
            rows=int(raw["rows"]),
            drifted_share=raw["drifted_share"],
            features=tuple(_from_json(FeatureVerdict, item) for item in raw.get("features", ())),
            outputs=tuple(_from_json(FeatureVerdict, item) for item in raw.get("outputs", ())),
            schema=tuple(_from_json(SchemaFinding, item) for item in raw.get("schema", ())),
        )


def _from_json(kind: Any, raw: Mapping[str, Any]) -> Any:
    return kind(**{f.name: raw[f.name] for f in fields(kind) if f.name in raw})
