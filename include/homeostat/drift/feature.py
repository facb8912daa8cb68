"""One feature: its figures first, and its verdict once the correction is known."""

from __future__ import annotations

from dataclasses import dataclass

from homeostat.config.model import Monitor
from homeostat.drift.chi_square import chi_square
from homeostat.drift.cramers_v import cramers_v
from homeostat.drift.jensen_shannon import jensen_shannon
from homeostat.drift.ks import ks
from homeostat.drift.psi import psi
from homeostat.drift.report import FeatureVerdict, Verdict
from homeostat.drift.statistic import DriftTest, Statistic
from homeostat.drift.wasserstein import wasserstein
from homeostat.profile import Counts, Kind

#: The tests of each kind of feature, by the name that a verdict gives their value.
TESTS: dict[Kind, dict[str, DriftTest]] = {
    "number": {"ks": ks, "psi": psi, "js": jensen_shannon, "wasserstein": wasserstein},
    "category": {"chi2": chi_square, "cramers_v": cramers_v, "psi": psi, "js": jensen_shannon},
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


def measure(name: str, reference: Counts, window: Counts, monitor: Monitor) -> Figures:
    """Compute every statistic of a feature's kind."""
    found = {key: test(reference, window) for key, test in TESTS[reference.kind].items()}
    key, effect = ("ks", "ks") if reference.kind == "number" else ("chi2", "cramers_v")
    reason = found[key].reason or found[effect].reason or _too_few(reference, window, monitor)
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
    unseen = _unseen(window, monitor)
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


def _unseen(window: Counts, monitor: Monitor) -> str:
    share = window.unseen_share
    if share is None or share <= monitor.max_unseen:
        return ""
    what = "never seen in the reference" if window.kind == "category" else "no numbers"
    return f"{share:.1%} of the values are {what} (at most {monitor.max_unseen:.1%})"


def _missing(reference: Counts, window: Counts, monitor: Monitor) -> str:
    before, now = reference.missing_rate, window.missing_rate
    if before is None or now is None or now - before <= monitor.max_missing:
        return ""
    return f"missing rate rose from {before:.1%} to {now:.1%} (by at most {monitor.max_missing:.1%})"
