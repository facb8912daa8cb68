"""Compare a window with its reference: every feature, the correction across them, one verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homeostat.config.model import Monitor
from homeostat.core.drift.correction import benjamini_hochberg
from homeostat.core.drift.feature import (
    FeatureStats,
    compute_stats,
    feature_verdict,
    too_many_missing,
    too_many_unseen,
)
from homeostat.core.drift.report import DriftReport, DriftVerdict, FeatureVerdict, SchemaFinding, Severity
from homeostat.core.drift.statistic import no_comparison
from homeostat.core.profile import FeatureCounts, Profile

#: Pseudo-columns of a profile that hold the model's predictions.
OUTPUTS = ("prediction", "confidence")


@dataclass(frozen=True, slots=True)
class DataSetVerdict:
    """The verdict on all features together; ``drifted_share`` is None when no feature is comparable."""

    verdict: DriftVerdict
    reason: str
    drifted_share: float | None


def compare_profiles(
    reference: Profile, window: Profile, monitor: Monitor, *, schema: Iterable[SchemaFinding] = ()
) -> DriftReport:
    """Compare a window with its reference.

    A feature is drifted when its corrected p-value is below ``alpha`` and its effect at least
    ``min_effect``. The report alerts when drifted features make up ``drifted_share`` of those with a
    comparable reference. It passes only when the features that could not be computed would not change
    that, and is not computable otherwise.

    Parameters
    ----------
    schema
        Findings of :func:`~homeostat.core.drift.schema.check_schema`, kept in the report beside those
        that the profiles themselves give rise to (missing rate, unseen values).

    Raises
    ------
    ValueError
        The profiles were counted on different edges.
    """
    if reference.edges != window.edges:
        msg = (
            f"reference and window were counted on different edges ({reference.edges.digest[:12]} and "
            f"{window.edges.digest[:12]}): count the window's rows on the reference's edges"
        )
        raise ValueError(msg)
    features = _verdicts(reference, window, monitor, outputs=False)
    outputs = _verdicts(reference, window, monitor, outputs=True)
    findings = (*schema, *_findings(features, reference, window, monitor))
    too_few = _too_few(reference, window, monitor)
    if too_few:
        return DriftReport("not_computable", too_few, window.rows, None, features, outputs, findings)
    comparable = [f for f in features if f.drifted is not None or is_comparable(reference.features[f.name])]
    found = aggregate(comparable, monitor)
    return DriftReport(
        found.verdict, found.reason, window.rows, found.drifted_share, features, outputs, findings
    )


def _verdicts(
    reference: Profile, window: Profile, monitor: Monitor, *, outputs: bool
) -> tuple[FeatureVerdict, ...]:
    names = [name for name in reference.features if (name in OUTPUTS) is outputs]
    stats = [compute_stats(name, reference.features[name], window.features[name], monitor) for name in names]
    return feature_verdicts(stats, monitor)


def feature_verdicts(features: Sequence[FeatureStats], monitor: Monitor) -> tuple[FeatureVerdict, ...]:
    """Return a verdict for each feature, its p-value corrected for the number of features."""
    corrected = benjamini_hochberg([stats.p_value for stats in features])
    return tuple(feature_verdict(stats, p, monitor) for stats, p in zip(features, corrected, strict=True))


def _too_few(reference: Profile, window: Profile, monitor: Monitor) -> str:
    if not window.rows:
        return "the window is empty"
    if window.rows < monitor.min_rows:
        return f"the window has {window.rows} rows, monitor.min_rows requires {monitor.min_rows}"
    return "" if reference.rows else "the reference is empty"


def aggregate(features: Sequence[FeatureVerdict], monitor: Monitor) -> DataSetVerdict:
    """Return the verdict on a data set, from the features with a comparable reference."""
    if not features:
        return DataSetVerdict("not_computable", "the reference has no comparable feature", None)
    drifted = [f.name for f in features if f.drifted]
    unknown = [f.name for f in features if f.drifted is None]
    share = len(drifted) / len(features)
    reason = f"{len(drifted)} of {len(features)} features drifted"
    if drifted:
        reason += f" ({_first_names(drifted)})"
    if share >= monitor.drifted_share:
        return DataSetVerdict("alert", f"{reason}, the limit is {monitor.drifted_share:.0%}", share)
    if unknown and (len(drifted) + len(unknown)) / len(features) >= monitor.drifted_share:
        reason += f", but {len(unknown)} could not be computed ({_first_names(unknown)})"
        return DataSetVerdict("not_computable", reason, share)
    return DataSetVerdict("pass", reason, share)


def is_comparable(reference: FeatureCounts) -> bool:
    """Whether a window can be compared with this reference at all."""
    return no_comparison(reference, reference) is None


def _first_names(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _findings(
    features: Sequence[FeatureVerdict], reference: Profile, window: Profile, monitor: Monitor
) -> Iterable[SchemaFinding]:
    for feature in features:
        before, now = reference.features[feature.name], window.features[feature.name]
        if too_many_missing(before, now, monitor):
            rose = f"{now.missing_rate:.1%} of the rows have no value, {before.missing_rate:.1%}"
            severity: Severity = "critical" if now.missing_rate == 1 else "warning"
            yield SchemaFinding(feature.name, "missing_rate", f"{rose} in the reference", severity)
        if too_many_unseen(before, now, monitor):
            share = f"{now.unseen_share:.1%} of the values"
            if feature.kind == "category":
                yield SchemaFinding(
                    feature.name, "new_category", f"{share} never occurred in the reference", "warning"
                )
            else:
                yield SchemaFinding(feature.name, "retyped", f"{share} are not numbers", "critical")
