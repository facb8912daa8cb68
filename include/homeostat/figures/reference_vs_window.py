"""Figure of reference and window, one plot per feature, from the counts of two profiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from homeostat.core.drift import DriftReport, FeatureVerdict
from homeostat.core.profile import CategoryEdges, FeatureCounts, NumberEdges, Profile
from homeostat.figures.style import (
    ALERT,
    CURRENT,
    FAINT,
    INK,
    REFERENCE,
    new_figure,
    placeholder,
    plain_axes,
    shorten,
    title,
    to_png,
)

_FEATURES, _COLUMNS, _BINS, _LABELS = 24, 4, 24, 5


def reference_vs_window(reference: Profile, window: Profile, report: DriftReport | None = None) -> bytes:
    """Draw every feature's distribution in both profiles as shares of the rows that have a value.

    Values outside the reference's range are in the outermost bars. Of more than 24 features, those with an
    alert or the largest effect are drawn. ``report`` has the effect for the title of each.
    """
    if not window.rows or not reference.rows:
        return placeholder("no rows in the " + ("window" if not window.rows else "reference"))
    verdicts = {v.name: v for v in (*report.features, *report.outputs)} if report is not None else {}
    names = _chosen(list(reference.features), verdicts)
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    fig = new_figure(2.35 * columns + 0.2, 1.72 * rows + 0.45)
    axes = fig.subplots(rows, columns, squeeze=False)
    for place in axes.flat[len(names) :]:
        place.axis("off")
    for place, name in zip(axes.flat, names, strict=False):
        ours, theirs = window.features[name], reference.features[name]
        if isinstance(theirs.edges, NumberEdges):
            _number(place, theirs.edges, theirs, ours)
        else:
            _category(place, theirs.edges, theirs, ours)
        _headline(place, name, verdicts.get(name), theirs, ours)
    _legend(fig, reference.rows, window.rows)
    return to_png(fig)


def _chosen(names: list[str], verdicts: dict[str, FeatureVerdict]) -> list[str]:
    if len(names) <= _FEATURES:
        return names

    def weight(name: str) -> tuple[bool, float]:
        verdict = verdicts.get(name)
        return (verdict is None or verdict.verdict != "alert", -((verdict.effect or 0.0) if verdict else 0.0))

    most = set(sorted(names, key=weight)[:_FEATURES])
    return [name for name in names if name in most]


def _number(axes: Any, frame: NumberEdges, reference: FeatureCounts, window: FeatureCounts) -> None:
    plain_axes(axes)
    axes.set_yticks([])
    if not frame.cut_points:
        axes.text(0.5, 0.5, "no values in the reference", transform=axes.transAxes, fontsize=7.5, color=FAINT,
                  ha="center", va="center")  # fmt: skip
        return
    bins = _bins(frame, reference)
    theirs, ours = _binned(frame, reference, bins), _binned(frame, window, bins)
    width = bins[1] - bins[0]
    centres = np.r_[bins[0] - width / 2, (bins[:-1] + bins[1:]) / 2, bins[-1] + width / 2]
    axes.bar(centres, theirs, width=width, color=REFERENCE, alpha=0.55, linewidth=0)
    axes.step(
        np.r_[centres - width / 2, centres[-1] + width / 2], np.r_[ours, ours[-1]], where="post",
        color=CURRENT, linewidth=1.4,
    )  # fmt: skip
    top = max(theirs.max(), ours.max()) or 1.0
    axes.set_ylim(0, top * 1.08)
    for at, inside in ((0, bins[0]), (-1, bins[-1])):
        if max(ours[at], theirs[at]) > 0.02:
            axes.axvline(inside, color=FAINT, linewidth=0.6, linestyle=(0, (3, 2)))
    axes.locator_params(axis="x", nbins=4)


def _bins(frame: NumberEdges, reference: FeatureCounts) -> np.ndarray:
    """Return equal bins over the reference's middle 99 %, so that an outlier does not flatten it."""
    edges = np.asarray(frame.cut_points)
    shares = np.cumsum(reference.slots) / max(reference.binned, 1)
    low = edges[min(int(np.searchsorted(shares, 0.005)) // 2, len(edges) - 1)]
    high = edges[min(int(np.searchsorted(shares, 0.995)) // 2, len(edges) - 1)]
    if not low < high:
        low, high = edges[0], edges[-1]
    if not low < high:
        room = abs(low) or 1.0
        low, high = low - room / 2, high + room / 2
    if frame.complete and len(edges) <= _BINS and np.allclose(np.diff(edges), np.diff(edges)[:1]):
        step = (edges[1] - edges[0]) if len(edges) > 1 else 1.0
        return np.append(edges, edges[-1] + step) - step / 2  # one bar per integer
    return np.linspace(low, high, _BINS + 1)


def _binned(frame: NumberEdges, counts: FeatureCounts, bins: np.ndarray) -> np.ndarray:
    """Return the share of each bin, with one open bin on each side.

    A slot of an edge has one value; the count of an open interval is spread evenly over its width.
    """
    edges = np.asarray(frame.cut_points)
    total = max(counts.binned, 1)
    out = np.zeros(len(bins) + 1)
    atoms = np.searchsorted(bins, edges, side="right")
    atoms[edges == bins[-1]] = len(bins) - 1
    np.add.at(out, atoms, counts.slots[1::2])
    out[0] += counts.slots[0]
    out[-1] += counts.slots[-1]
    between = counts.slots[2:-1:2]
    for low, high, mass in zip(edges[:-1], edges[1:], between, strict=True):
        if mass:
            reached = np.clip((np.r_[-np.inf, bins, np.inf] - low) / (high - low), 0.0, 1.0)
            out += mass * np.diff(reached)
    return out / total


def _category(axes: Any, frame: CategoryEdges, reference: FeatureCounts, window: FeatureCounts) -> None:
    plain_axes(axes)
    axes.set_xticks([])
    shown = list(frame.labels[:_LABELS])
    theirs = reference.slots / max(reference.binned + reference.unseen, 1)
    ours = window.slots / max(window.binned + window.unseen, 1)
    rest = float(theirs[len(shown) :].sum()), float(ours[len(shown) :].sum())
    bars = [(label, float(theirs[i]), float(ours[i])) for i, label in enumerate(shown)]
    if max(rest) > 0 or len(frame.labels) > len(shown):
        bars.append(("other", *rest))
    unseen = window.unseen / max(window.binned + window.unseen, 1)
    if unseen:
        bars.append(("never seen", 0.0, unseen))
    y = np.arange(len(bars))
    colors = [ALERT if name == "never seen" else CURRENT for name, *_ in bars]
    axes.barh(y - 0.2, [a for _, a, _ in bars], height=0.38, color=REFERENCE, alpha=0.55, linewidth=0)
    axes.barh(y + 0.2, [b for *_, b in bars], height=0.38, color=colors, linewidth=0)
    axes.set_yticks(y, [shorten(name, 11) for name, *_ in bars])
    axes.set_ylim(max(len(bars), 3) - 0.4, -0.6)
    axes.tick_params(axis="y", labelsize=7.5, length=0)


def _headline(
    axes: Any, name: str, verdict: FeatureVerdict | None, reference: FeatureCounts, window: FeatureCounts
) -> None:
    parts = []
    if verdict is not None and verdict.effect is not None:
        parts.append(f"{'KS' if verdict.kind == 'number' else 'V'} {verdict.effect:.2f}")
    before, now = reference.missing_rate or 0.0, window.missing_rate or 0.0
    if max(before, now) >= 0.001:
        parts.append(f"missing {before:.1%} → {now:.1%}")
    alert = verdict is not None and verdict.verdict == "alert"
    title(axes, shorten(name, 24), small=", ".join(parts) or " ", color=ALERT if alert else INK)


def _legend(fig: Any, before: int, now: int) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(color=REFERENCE, alpha=0.55, label=f"reference ({before:,} rows)"),
        Patch(color=CURRENT, label=f"window ({now:,} rows)"),
    ]
    fig.legend(
        handles=handles, loc="outside upper left", ncols=2, fontsize=8.5, frameon=False, labelcolor=INK
    )
