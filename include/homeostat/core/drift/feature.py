"""One feature: its figures first, and its verdict once the correction is known."""

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
from homeostat.core.drift.report import FeatureVerdict, Verdict
from homeostat.core.drift.statistic import DriftTest, Statistic
from homeostat.core.drift.wasserstein import wasserstein
from homeostat.core.profile import CategoryFrame, Counts, Kind

#: The tests of each kind of feature, by the name that a verdict gives their value.
TESTS: dict[Kind, dict[str, DriftTest]] = {
    "number": {"ks": ks, "psi": psi, "js": jensen_shannon, "wasserstein": wasserstein},
    "category": {"chi2": chi_square, "cramers_v": cramers_v, "psi": psi, "js": jensen_shannon},
}
#: Those of them that a verdict rests on: one has the p-value, one is the effect.
DECISIVE: dict[Kind, dict[str, DriftTest]] = {
    "number": {"ks": ks},
    "category": {"chi2": chi_square, "cramers_v": cramers_v},
}
#: Fewer values than this (or than ``min_rows``, if that is less) are no evidence either way.
MIN_VALUES = 20


@dataclass(frozen=True, slots=True)
class Figures:
    """A feature's statistics, before anything is made of them."""

    name: str
    reference: Counts
    window: Counts
    statistics: dict[str, Statistic]
    reason: str  # why the distributions cannot be compared; empty when they can

    @property
    def p_value(self) -> float | None:
        """What goes into the correction; None when the distributions could not be compared."""
        if self.reason:
            return None
        return self.statistics["ks" if self.reference.kind == "number" else "chi2"].p_value

    @property
    def effect(self) -> Statistic:
        """What ``min_effect`` is held against."""
        return self.statistics["ks" if self.reference.kind == "number" else "cramers_v"]


def measure(
    name: str,
    reference: Counts,
    window: Counts,
    monitor: Monitor,
    *,
    tests: Mapping[Kind, Mapping[str, DriftTest]] = TESTS,
) -> Figures:
    """Compute every statistic of a feature's kind, or those of ``tests``, :data:`DECISIVE` among them."""
    found = {key: test(reference, window) for key, test in tests[reference.kind].items()}
    reasons = (found[key].reason for key in DECISIVE[reference.kind])
    reason = next(filter(None, reasons), "") or _too_few(reference, window, monitor)
    return Figures(name, reference, window, found, reason)


def _too_few(reference: Counts, window: Counts, monitor: Monitor) -> str:
    needed = min(MIN_VALUES, monitor.min_rows)
    for side, counts in (("reference", reference), ("window", window)):
        if counts.placed < needed:
            return f"the {side} has only {counts.placed} values of {counts.rows} rows, {needed} are needed"
    return ""


def judge(figures: Figures, p_adjusted: float | None, monitor: Monitor) -> FeatureVerdict:
    """Turn figures into a verdict; a corrected p-value *and* an effect are needed for drift."""
    reference, window = figures.reference, figures.window
    values = {name: statistic.value for name, statistic in figures.statistics.items()}
    shifted = _shifted(figures, p_adjusted, monitor)
    unseen = _unseen(reference, window, monitor)
    missing = _missing(reference, window, monitor)
    alerts = [text for text in (shifted, unseen, missing) if text]
    verdict: Verdict = "alert" if alerts else "not_computable" if figures.reason else "pass"
    drifted = bool(shifted) or bool(unseen and reference.kind == "category")
    return FeatureVerdict(
        name=figures.name,
        kind=reference.kind,
        verdict=verdict,
        reason="; ".join([*alerts, figures.reason] if figures.reason else alerts) or "within tolerance",
        drifted=drifted if drifted or not figures.reason else None,
        ks_error=figures.statistics["ks"].error if values.get("ks") is not None else None,
        p_value=figures.p_value,
        p_adjusted=p_adjusted,
        missing_reference=reference.missing_rate,
        missing_current=window.missing_rate,
        unseen_share=window.unseen_share,
        **values,
    )


def _shifted(figures: Figures, p_adjusted: float | None, monitor: Monitor) -> str:
    effect = figures.effect.value
    if figures.reason or p_adjusted is None or effect is None:
        return ""
    if p_adjusted >= monitor.alpha or effect < monitor.min_effect:
        return ""
    name = "KS distance" if figures.reference.kind == "number" else "Cramer's V"
    return f"distribution shifted: {name} {effect:.3f}, corrected p {p_adjusted:.2g}"


def _unseen(reference: Counts, window: Counts, monitor: Monitor) -> str:
    share = window.unseen_share
    if share is None or not too_many_unseen(reference, window, monitor):
        return ""
    what = "never seen in the reference" if window.kind == "category" else "no numbers"
    return f"{share:.1%} of the values are {what} (at most {monitor.max_unseen:.1%})"


def _missing(reference: Counts, window: Counts, monitor: Monitor) -> str:
    if not too_many_missing(reference, window, monitor):
        return ""
    before, now = reference.missing_rate, window.missing_rate
    return f"missing rate rose from {before:.1%} to {now:.1%} (by at most {monitor.max_missing:.1%})"


def too_many_missing(reference: Counts, window: Counts, monitor: Monitor) -> bool:
    """Whether the missing rate rose by more than ``max_missing``, and by more than chance gives.

    By chance: three standard errors of the difference, at the reference's rate. Where half of the
    reference is missing, one window of 200 rows in 700 has 10 points more of them for nothing.
    """
    before, now = reference.missing_rate, window.missing_rate
    if before is None or now is None:
        return False
    return now - before > max(monitor.max_missing, _three_sigma(before, reference.rows, window.rows))


def too_many_unseen(reference: Counts, window: Counts, monitor: Monitor) -> bool:
    """Whether more than ``max_unseen`` of the values are unseen, beside those to be expected.

    To be expected of a category: the share of the reference's rows whose label occurs once there,
    which is what a row has for a chance of a new label (I. J. Good, 1953), and three standard errors
    of it. Nothing is to be expected where every label occurs often.
    """
    share = window.unseen_share
    if share is None:
        return False
    n, m = reference.placed, window.placed + window.unseen
    once = _seen_once(reference) / n if n else 0.0
    return share > monitor.max_unseen + once + _three_sigma(once, n, m)


def _seen_once(reference: Counts) -> float:
    frame = reference.frame
    if not isinstance(frame, CategoryFrame) or frame.open:
        return 0.0
    # Of the labels in the rest it is not known; freezing has seen to it that they are few.
    rest = min(len(frame.rest), int(reference.slots[-1]), math.sqrt(reference.placed))
    return int((reference.slots[:-1] == 1).sum()) + rest


def _three_sigma(rate: float, n: int, m: int) -> float:
    return 3 * math.sqrt(rate * (1 - rate) * (1 / n + 1 / m)) if n else 0.0
