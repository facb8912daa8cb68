"""One feature: compute its statistics, and its verdict once the p-value is corrected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from homeostat.config.model import Monitor
from homeostat.core.drift.chi_square import chi_square
from homeostat.core.drift.cramers_v import cramers_v
from homeostat.core.drift.jensen_shannon import jensen_shannon
from homeostat.core.drift.ks import ks
from homeostat.core.drift.psi import psi
from homeostat.core.drift.report import DriftVerdict, FeatureVerdict
from homeostat.core.drift.statistic import DriftTest, Statistic
from homeostat.core.drift.wasserstein import wasserstein
from homeostat.core.profile import CategoryEdges, FeatureCounts, FeatureKind

#: The tests of each kind of feature, by the verdict's field for their value.
TESTS: dict[FeatureKind, dict[str, DriftTest]] = {
    "number": {"ks": ks, "psi": psi, "js": jensen_shannon, "wasserstein": wasserstein},
    "category": {"chi2": chi_square, "cramers_v": cramers_v, "psi": psi, "js": jensen_shannon},
}
#: The tests that decide a verdict: one gives the p-value, one the effect.
DECISIVE: dict[FeatureKind, dict[str, DriftTest]] = {
    "number": {"ks": ks},
    "category": {"chi2": chi_square, "cramers_v": cramers_v},
}
#: Fewer values than this (or than ``min_rows``, if that is less) are no evidence.
MIN_VALUES = 20
#: A smaller p-value is shown as being below this: it is near the smallest float, or has become 0.
LEAST_P_VALUE = 1e-300


@dataclass(frozen=True, slots=True)
class FeatureStats:
    """A feature's statistics, before its verdict."""

    name: str
    reference: FeatureCounts
    window: FeatureCounts
    statistics: dict[str, Statistic]
    reason: str  # why the distributions cannot be compared; empty when they can

    @property
    def p_value(self) -> float | None:
        """The p-value before correction; None when the distributions could not be compared."""
        if self.reason:
            return None
        return self.statistics["ks" if self.reference.kind == "number" else "chi2"].p_value

    @property
    def effect(self) -> Statistic:
        """The effect size that ``monitor.min_effect`` limits."""
        return self.statistics["ks" if self.reference.kind == "number" else "cramers_v"]


def compute_stats(
    name: str,
    reference: FeatureCounts,
    window: FeatureCounts,
    monitor: Monitor,
    *,
    tests: Mapping[FeatureKind, Mapping[str, DriftTest]] = TESTS,
) -> FeatureStats:
    """Compute a feature's statistics; ``tests`` must include those of :data:`DECISIVE`."""
    found = {key: test(reference, window) for key, test in tests[reference.kind].items()}
    reasons = (found[key].reason for key in DECISIVE[reference.kind])
    reason = next(filter(None, reasons), "") or _too_few(reference, window, monitor)
    return FeatureStats(name, reference, window, found, reason)


def _too_few(reference: FeatureCounts, window: FeatureCounts, monitor: Monitor) -> str:
    needed = min(MIN_VALUES, monitor.min_rows)
    for side, counts in (("reference", reference), ("window", window)):
        if counts.binned < needed:
            return f"the {side} has only {counts.binned} values of {counts.rows} rows, {needed} are needed"
    return ""


def feature_verdict(stats: FeatureStats, p_adjusted: float | None, monitor: Monitor) -> FeatureVerdict:
    """Return the verdict; drift needs a corrected p-value below ``alpha`` *and* a large enough effect."""
    reference, window = stats.reference, stats.window
    values = {name: statistic.value for name, statistic in stats.statistics.items()}
    shifted = _shift_alert(stats, p_adjusted, monitor)
    unseen = _unseen_alert(reference, window, monitor)
    missing = _missing_alert(reference, window, monitor)
    alerts = [text for text in (shifted, unseen, missing) if text]
    verdict: DriftVerdict = "alert" if alerts else "not_computable" if stats.reason else "pass"
    drifted = bool(shifted) or bool(unseen and reference.kind == "category")
    return FeatureVerdict(
        name=stats.name,
        kind=reference.kind,
        verdict=verdict,
        reason="; ".join([*alerts, stats.reason] if stats.reason else alerts) or "within tolerance",
        drifted=drifted if drifted or not stats.reason else None,
        ks_error=stats.statistics["ks"].error if values.get("ks") is not None else None,
        p_value=stats.p_value,
        p_adjusted=p_adjusted,
        missing_reference=reference.missing_rate,
        missing_current=window.missing_rate,
        unseen_share=window.unseen_share,
        **values,
    )


def _shift_alert(stats: FeatureStats, p_adjusted: float | None, monitor: Monitor) -> str:
    effect = stats.effect.value
    if stats.reason or p_adjusted is None or effect is None:
        return ""
    if p_adjusted >= monitor.alpha or effect < monitor.min_effect:
        return ""
    name = "KS distance" if stats.reference.kind == "number" else "Cramer's V"
    p = f"{p_adjusted:.2g}" if p_adjusted >= LEAST_P_VALUE else f"below {LEAST_P_VALUE:g}"
    return f"distribution shifted: {name} {effect:.3f}, corrected p {p}"


def _unseen_alert(reference: FeatureCounts, window: FeatureCounts, monitor: Monitor) -> str:
    share = window.unseen_share
    if share is None or not too_many_unseen(reference, window, monitor):
        return ""
    what = "were never seen in the reference" if window.kind == "category" else "are not numbers"
    return f"{share:.1%} of the values {what} (monitor.max_unseen is {monitor.max_unseen:.1%})"


def _missing_alert(reference: FeatureCounts, window: FeatureCounts, monitor: Monitor) -> str:
    if not too_many_missing(reference, window, monitor):
        return ""
    before, now = reference.missing_rate, window.missing_rate
    limit = f"monitor.max_missing allows {monitor.max_missing:.1%} more"
    return f"missing rate rose from {before:.1%} to {now:.1%} ({limit})"


def too_many_missing(reference: FeatureCounts, window: FeatureCounts, monitor: Monitor) -> bool:
    """Return whether the missing rate rose by more than ``max_missing`` and by more than chance.

    Chance is three standard errors of the difference, at the reference's rate. Where half of the
    reference is missing, one window of 200 rows in 700 has 10 points more of them by chance.
    """
    before, now = reference.missing_rate, window.missing_rate
    if before is None or now is None:
        return False
    return now - before > max(monitor.max_missing, _three_sigma(before, reference.rows, window.rows))


def too_many_unseen(reference: FeatureCounts, window: FeatureCounts, monitor: Monitor) -> bool:
    """Return whether more than ``max_unseen`` of the values are unseen, beyond those to be expected.

    Expected for a category: the share of the reference's rows whose label occurs once there, which
    estimates a row's chance of a new label (I. J. Good, 1953), and three standard errors of it. Where
    every label occurs often, no unseen values are expected. Expected for a number: the reference's share of
    values that are none.
    """
    share = window.unseen_share
    if share is None:
        return False
    n, m = reference.binned + reference.unseen, window.binned + window.unseen
    once = _seen_once(reference) / n if n else 0.0
    return share > monitor.max_unseen + once + _three_sigma(once, n, m)


def _seen_once(reference: FeatureCounts) -> float:
    edges = reference.edges
    if not isinstance(edges, CategoryEdges):
        return reference.unseen
    if edges.open:
        return 0.0
    # How often each label of the rest occurs is not known; fit_edges ensures that few occur once.
    rest = min(len(edges.rest), int(reference.slots[-1]), math.sqrt(reference.binned))
    return int((reference.slots[:-1] == 1).sum()) + rest


def _three_sigma(rate: float, n: int, m: int) -> float:
    return 3 * math.sqrt(rate * (1 - rate) * (1 / n + 1 / m)) if n else 0.0
