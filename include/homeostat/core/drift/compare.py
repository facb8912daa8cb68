"""A window against its reference: every feature, the correction across them, one verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from homeostat.config.model import Monitor
from homeostat.core.drift.correction import benjamini_hochberg
from homeostat.core.drift.feature import Figures, judge, measure, too_many_missing, too_many_unseen
from homeostat.core.drift.report import DriftReport, FeatureVerdict, SchemaFinding, Severity, Verdict
from homeostat.core.drift.statistic import nothing_to_compare
from homeostat.core.profile import Counts, Profile

#: Pseudo-columns of a profile that hold what the model answered.
OUTPUTS = ("prediction", "confidence")


def compare(
    reference: Profile, window: Profile, monitor: Monitor, *, schema: Iterable[SchemaFinding] = ()
) -> DriftReport:
    """Compare a window with its reference.

    A feature is drifted when its corrected p-value is below ``alpha`` and its effect at least
    ``min_effect``. The report alerts when drifted features make up ``drifted_share`` of those that
    the reference can judge; it passes only when those that could not be computed would not change
    that, and is not computable otherwise.

    Parameters
    ----------
    schema
        Findings of :func:`~homeostat.core.drift.schema.schema_check`, kept in the report beside those
        that the profiles themselves give rise to (missing rate, unseen values).

    Raises
    ------
    ValueError
        The profiles were counted on different frames.
    """
    if reference.frames != window.frames:
        msg = (
            f"reference and window were counted on different frames ({reference.frames.digest[:12]} and "
            f"{window.frames.digest[:12]}): count the window's rows on the reference's frames"
        )
        raise ValueError(msg)
    features = _judge(reference, window, monitor, outputs=False)
    outputs = _judge(reference, window, monitor, outputs=True)
    found = (*schema, *_findings(features, reference, window, monitor))
    too_few = _too_few(reference, window, monitor)
    if too_few:
        return DriftReport("not_computable", too_few, window.rows, None, features, outputs, found)
    counted = [f for f in features if f.drifted is not None or _can_judge(reference.features[f.name])]
    verdict, reason, share = together(counted, monitor)
    return DriftReport(verdict, reason, window.rows, share, features, outputs, found)


def _judge(
    reference: Profile, window: Profile, monitor: Monitor, *, outputs: bool
) -> tuple[FeatureVerdict, ...]:
    names = [name for name in reference.features if (name in OUTPUTS) is outputs]
    found = [measure(name, reference.features[name], window.features[name], monitor) for name in names]
    return judge_all(found, monitor)


def judge_all(found: Sequence[Figures], monitor: Monitor) -> tuple[FeatureVerdict, ...]:
    """A verdict for each feature, its p-value corrected for all of them having been looked at."""
    corrected = benjamini_hochberg([figures.p_value for figures in found])
    return tuple(judge(figures, p, monitor) for figures, p in zip(found, corrected, strict=True))


def _too_few(reference: Profile, window: Profile, monitor: Monitor) -> str:
    if not window.rows:
        return "the window is empty"
    if window.rows < monitor.min_rows:
        return f"the window has {window.rows} rows, monitor.min_rows asks for {monitor.min_rows}"
    return "" if reference.rows else "the reference is empty"


def together(judged: Sequence[FeatureVerdict], monitor: Monitor) -> tuple[Verdict, str, float | None]:
    """Verdict, reason and drifted share of a data set, from the features that its reference can judge."""
    if not judged:
        return "not_computable", "the reference can judge none of the features", None
    drifted = [f.name for f in judged if f.drifted]
    unknown = [f.name for f in judged if f.drifted is None]
    share = len(drifted) / len(judged)
    sentence = f"{len(drifted)} of {len(judged)} features drifted"
    if drifted:
        sentence += f" ({_few(drifted)})"
    if share >= monitor.drifted_share:
        return "alert", f"{sentence}, the limit is {monitor.drifted_share:.0%}", share
    if unknown and (len(drifted) + len(unknown)) / len(judged) >= monitor.drifted_share:
        return (
            "not_computable",
            f"{sentence}, but {len(unknown)} could not be computed ({_few(unknown)})",
            share,
        )
    return "pass", sentence, share


def _can_judge(reference: Counts) -> bool:
    return nothing_to_compare(reference, reference) is None


def _few(names: Sequence[str]) -> str:
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
                yield SchemaFinding(feature.name, "retyped", f"{share} are no numbers", "critical")
