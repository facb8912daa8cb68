"""Lay out a column's two distributions as a small chart, from the profile's counts alone.

The functions here compute shares and positions; ``drift_chart.html`` draws them as SVG.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np

from homeostat.cli.commands.drift_result import ColumnResult
from homeostat.core.profile import CategoryEdges, FeatureCounts, NumberEdges
from homeostat.core.profile.coerce import Floats

#: Equal steps between the reference's 1st and 99th percentile; there is a bar at either end for the rest.
STEPS = 24
#: A number with at most this many distinct values has a bar for each; a category this many, and the rest.
BARS = 12
#: Size of a step chart in SVG units; a bar chart is as wide.
WIDTH, HEIGHT = 400, 150
#: Height of one bar, and of the two of a value with the room below them.
BAR_HEIGHT, ROW_HEIGHT = 11, 29
_TEXT_WIDTH = 48  # of "100%", right of the bars
_MAX_LABEL = 18
_ABSURD = 1e150


@dataclass(frozen=True, slots=True)
class Share:
    """A value or range, and its shares of the reference's and the current rows."""

    label: str
    reference: float
    current: float


@dataclass(frozen=True, slots=True)
class Bar:
    """Two horizontal bars, from ``BarChart.left`` on, with the share of each at its own end.

    ``text`` is the value, to their left.
    """

    share: Share
    text: str
    top: float
    reference_width: float
    current_width: float


@dataclass(frozen=True, slots=True)
class BarChart:
    """Two horizontal bars for each value."""

    name: str
    width: int
    height: int
    left: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """Two vertical bars on the chart's floor, for one range of values."""

    share: Share
    x: float
    width: float
    reference_height: float
    current_height: float


@dataclass(frozen=True, slots=True)
class AxisLabel:
    """Text below the axis."""

    x: float
    anchor: str
    text: str


@dataclass(frozen=True, slots=True)
class StepChart:
    """Both distributions in equal steps: the reference filled, the current rows as a line (an SVG path)."""

    name: str
    width: int
    height: int
    floor: float
    steps: tuple[Step, ...]
    line: str
    labels: tuple[AxisLabel, ...]


def chart_of(column: ColumnResult) -> BarChart | StepChart | None:
    """Return the chart of a column, None when there is nothing to draw."""
    before, now = column.reference, column.current
    if before is None or now is None or not before.binned or not (now.binned or now.unseen):
        return None
    if isinstance(before.edges, CategoryEdges):
        shares = _label_shares(before.edges, before, now)
        return _bar_chart([*shares, *_unseen_shares(before, now, column.unseen)], column.name)
    if before.edges.complete and len(before.edges.cut_points) <= BARS:
        return _bar_chart(_value_shares(before.edges, before, now, dates=column.dates), column.name)
    return _step_chart(before.edges, before, now, column)


def _slot_shares(counts: FeatureCounts) -> Floats:
    present = counts.binned + counts.unseen
    return counts.slots / max(1, present)


def _label_shares(edges: CategoryEdges, before: FeatureCounts, now: FeatureCounts) -> list[Share]:
    p, q = _slot_shares(before), _slot_shares(now)
    shown = sorted(range(len(edges.labels)), key=lambda at: -max(p[at], q[at]))[:BARS]
    if all(edges.labels[at].isdecimal() for at in shown):
        shown.sort(key=lambda at: int(edges.labels[at]))
    shares = [Share(edges.labels[at], float(p[at]), float(q[at])) for at in shown]
    rest = [float(x.sum() - sum(x[at] for at in shown)) for x in (p, q)]
    if max(rest) > 1e-9:
        shares.append(Share("all others", rest[0], rest[1]))
    return shares


def _value_shares(
    edges: NumberEdges, before: FeatureCounts, now: FeatureCounts, *, dates: bool
) -> list[Share]:
    p, q = _slot_shares(before), _slot_shares(now)
    labels = ["below"]
    for cut in edges.cut_points:
        labels += [_format(cut, dates=dates), "between"]
    labels[-1] = "above"
    shares = [Share(label, float(a), float(b)) for label, a, b in zip(labels, p, q, strict=True)]
    filled = [each for at, each in enumerate(shares) if at % 2 or each.reference + each.current > 0]
    return filled + _unseen_share(before, now, "not a number")


def _unseen_shares(before: FeatureCounts, now: FeatureCounts, named: Mapping[str, int]) -> list[Share]:
    """Return a share for each named value that the reference lacks, and one for the others."""
    present = max(1, now.binned + now.unseen)
    shares = [Share(f"new: {label}", 0.0, rows / present) for label, rows in named.items()]
    others = now.unseen - sum(named.values())
    if others > 0 and shares:
        return [*shares, Share("other new values", 0.0, others / present)]
    return shares or _unseen_share(before, now, "never seen before")


def _unseen_share(before: FeatureCounts, now: FeatureCounts, label: str) -> list[Share]:
    a, b = before.unseen_share or 0.0, now.unseen_share or 0.0
    return [Share(label, a, b)] if max(a, b) > 0 else []


def _bar_chart(shares: list[Share], name: str) -> BarChart:
    left = 14 + 7 * min(_MAX_LABEL, max(len(share.label) for share in shares))
    largest = max(max(share.reference, share.current) for share in shares) or 1.0
    scale = (WIDTH - left - _TEXT_WIDTH) / largest
    bars = tuple(
        Bar(
            share,
            share.label if len(share.label) <= _MAX_LABEL else share.label[: _MAX_LABEL - 1] + "…",
            at * ROW_HEIGHT + 4,
            share.reference * scale,
            share.current * scale,
        )
        for at, share in enumerate(shares)
    )
    return BarChart(name, WIDTH, ROW_HEIGHT * len(bars) + 4, left, bars)


def _step_chart(
    edges: NumberEdges, before: FeatureCounts, now: FeatureCounts, column: ColumnResult
) -> StepChart:
    cuts = np.asarray(edges.cut_points, dtype=np.float64)
    bounds = _bounds(cuts, before)
    p, q = (_shares_between(cuts, counts, bounds) for counts in (before, now))
    texts = [_format(bound, dates=column.dates) for bound in bounds]
    ranges = [f"below {texts[0]}", *map(" to ".join, pairwise(texts)), f"above {texts[-1]}"]
    floor, largest = HEIGHT - 22.0, max(float(p.max()), float(q.max())) or 1.0
    gap, width = 5.0, (WIDTH - 10.0) / (STEPS + 2)
    steps = []
    for at, share in enumerate(map(Share, ranges, p.tolist(), q.tolist())):
        x = at * width + (0 if at == 0 else gap if at <= STEPS else 2 * gap)
        heights = ((floor - 6) * part / largest for part in (share.reference, share.current))
        steps.append(Step(share, x, width - 0.6, *heights))
    left = width + gap
    labels = (
        AxisLabel(0.0, "start", "<"),
        AxisLabel(left, "start", texts[0]),
        AxisLabel(WIDTH / 2, "middle", texts[STEPS // 2]),
        AxisLabel(WIDTH - left - 1, "end", texts[-1]),
        AxisLabel(float(WIDTH), "end", ">"),
    )
    return StepChart(column.name, WIDTH, HEIGHT, floor, tuple(steps), _line(steps, floor), labels)


def _line(steps: list[Step], floor: float) -> str:
    """Return the tops of the current bars as an SVG path, interrupted before and after the inner steps."""
    return "".join(
        f"{'M' if at in (0, 1, STEPS + 1) else 'L'}{step.x:.1f},{floor - step.current_height:.1f}"
        f"H{step.x + step.width:.1f}"
        for at, step in enumerate(steps)
    )


def _bounds(cuts: Floats, before: FeatureCounts) -> Floats:
    """Return the ends of equal steps over the reference; infinities and absurd values lie outside."""
    slots = np.searchsorted(np.cumsum(before.slots), np.array([0.01, 0.99]) * before.binned)
    low, high = cuts[np.minimum(slots // 2, cuts.size - 1)]
    usual = cuts[np.abs(cuts) < _ABSURD]
    if usual.size:
        low, high = np.clip([low, high], usual[0], usual[-1])
    if not low < high:
        low, high = (usual[0], usual[-1]) if usual.size > 1 else (low - 1, low + 1)
    return np.linspace(low, high, STEPS + 1)


def _shares_between(cuts: Floats, counts: FeatureCounts, bounds: Floats) -> Floats:
    """Return the shares below the first bound, between each two, and above the last."""
    rising = np.cumsum(counts.slots)[:-1] / max(1, counts.binned)  # below each cut point, and up to it
    up_to = np.interp(bounds, np.repeat(cuts, 2) + np.tile([-1e-12, 0.0], cuts.size), rising)
    up_to[-1] = rising[2 * int(np.searchsorted(cuts, bounds[-1])) + 1]
    return np.diff(np.concatenate([[0.0], up_to, [1.0]])).clip(0.0)


def _format(value: float, *, dates: bool) -> str:
    if not dates:
        return f"{value:.6g}" if abs(value) >= 1e5 else f"{value:.4g}"
    try:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d")
    except (OverflowError, ValueError, OSError):  # a year outside the calendar
        return f"{value:.4g}"
