"""A column's two distributions as one small SVG, drawn from the profile's counts alone."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from itertools import pairwise

import numpy as np

from homeostat.cli.commands.drift_compare import Entry
from homeostat.cli.commands.drift_table import percent
from homeostat.core.profile import CategoryFrame, Counts, NumberFrame
from homeostat.core.profile.coerce import Floats

#: Equal steps between the reference's 1st and 99th percentile; what lies beyond has a bar at either end.
STEPS = 24
#: A number with no more distinct values than this has a bar for each, a category this many and a rest.
BARS = 12
WIDTH, HEIGHT = 400, 150
_ROW = 22
_ABSURD = 1e150

#: A bar: what it stands for, and the shares of the reference and of the current rows in it.
Bar = tuple[str, float, float]


def picture(entry: Entry) -> str:
    """Inline SVG, coloured by the page's own style; empty when there is nothing to draw."""
    before, now = entry.reference, entry.current
    if before is None or now is None or not before.placed or not (now.placed or now.unseen):
        return ""
    if isinstance(before.frame, CategoryFrame):
        return _rows(_labels(before.frame, before, now), entry.name)
    few = before.frame.complete and len(before.frame.edges) <= BARS
    if few:
        return _rows(_values(before.frame, before, now, dates=entry.dates), entry.name)
    return _steps(before.frame, before, now, entry)


def _shares(counts: Counts) -> Floats:
    there = counts.placed + counts.unseen
    return counts.slots / max(1, there)


def _labels(frame: CategoryFrame, before: Counts, now: Counts) -> list[Bar]:
    p, q = _shares(before), _shares(now)
    shown = sorted(range(len(frame.labels)), key=lambda at: -max(p[at], q[at]))[:BARS]
    if all(frame.labels[at].isdecimal() for at in shown):
        shown.sort(key=lambda at: int(frame.labels[at]))
    bars = [(frame.labels[at], float(p[at]), float(q[at])) for at in shown]
    rest = [float(x.sum() - sum(x[at] for at in shown)) for x in (p, q)]
    bars += [("all others", rest[0], rest[1])] if max(rest) > 1e-9 else []
    return bars + _strangers(before, now, "never seen before")


def _values(frame: NumberFrame, before: Counts, now: Counts, *, dates: bool) -> list[Bar]:
    p, q = _shares(before), _shares(now)
    names = ["below"]
    for edge in frame.edges:
        names += [_place(edge, dates=dates), "between"]
    names[-1] = "above"
    bars = [(name, float(a), float(b)) for name, a, b in zip(names, p, q, strict=True)]
    return [bar for at, bar in enumerate(bars) if at % 2 or bar[1] + bar[2] > 0] + _strangers(
        before, now, "not a number"
    )


def _strangers(before: Counts, now: Counts, name: str) -> list[Bar]:
    a, b = before.unseen_share or 0.0, now.unseen_share or 0.0
    return [(name, a, b)] if max(a, b) > 0 else []


def _rows(bars: list[Bar], name: str) -> str:
    """Two horizontal bars for each value."""
    left = 14 + 7 * min(18, max(len(label) for label, _, _ in bars))
    height = _ROW * len(bars) + 4
    full = max(max(a, b) for _, a, b in bars) or 1.0
    scale = (WIDTH - left - 62) / full
    parts = []
    for at, (label, a, b) in enumerate(bars):
        top = at * _ROW + 4
        shown = label if len(label) <= 18 else label[:17] + "…"
        parts.append(
            f"<g><title>{escape(label)}: {percent(a)} in the reference, {percent(b)} now</title>"
            f'<text x="{left - 8}" y="{top + 12}" class="end">{escape(shown)}</text>'
            f'<rect class="ref" x="{left}" y="{top}" width="{a * scale:.1f}" height="8"/>'
            f'<rect class="cur" x="{left}" y="{top + 8}" width="{b * scale:.1f}" height="8"/>'
            f'<text x="{left + max(a, b) * scale + 5:.1f}" y="{top + 12}">{percent(b)}</text></g>'
        )
    return _svg(height, name, "".join(parts))


def _steps(frame: NumberFrame, before: Counts, now: Counts, entry: Entry) -> str:
    """Both distributions in equal steps: the reference filled, the current rows as a line."""
    edges = np.asarray(frame.edges)
    bounds = _bounds(edges, before)
    p, q = (_binned(edges, counts, bounds) for counts in (before, now))
    names = [_place(bound, dates=entry.dates) for bound in bounds]
    spans = [f"below {names[0]}", *map(" to ".join, pairwise(names)), f"above {names[-1]}"]
    floor, full = HEIGHT - 22, max(float(p.max()), float(q.max())) or 1.0
    gap, width = 5.0, (WIDTH - 10.0) / (STEPS + 2)
    bars, line = "", ""
    for at, (span, a, b) in enumerate(zip(spans, p.tolist(), q.tolist(), strict=True)):
        x = at * width + (0 if at == 0 else gap if at <= STEPS else 2 * gap)
        tall, now_tall = ((floor - 6) * share / full for share in (a, b))
        bars += (
            f"<g><title>{escape(span)}: {percent(a)} in the reference, {percent(b)} now</title>"
            f"{_bar('ref', x, floor, width - 0.6, tall)}{_bar('now', x, floor, width - 0.6, now_tall)}</g>"
        )
        starts = "M" if at in (0, 1, STEPS + 1) else "L"
        line += f"{starts}{x:.1f},{floor - now_tall:.1f}H{x + width - 0.6:.1f}"
    inner = width + gap
    marks = [(0.0, "start", "<"), (inner, "start", names[0]), (WIDTH / 2, "middle", names[STEPS // 2])]
    marks += [(WIDTH - inner - 1, "end", names[-1]), (float(WIDTH), "end", ">")]
    text = "".join(
        f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{escape(name)}</text>'
        for x, anchor, name in marks
    )
    axis = f'<path class="axis" d="M0,{floor}H{WIDTH}"/>'
    return _svg(HEIGHT, entry.name, f'{bars}<path class="line" d="{line}"/>{axis}{text}')


def _bounds(edges: Floats, before: Counts) -> Floats:
    """Equal steps over what the reference has; infinities and absurd values are left to the ends."""
    slots = np.searchsorted(np.cumsum(before.slots), np.array([0.01, 0.99]) * before.placed)
    low, high = edges[np.minimum(slots // 2, edges.size - 1)]
    usual = edges[np.abs(edges) < _ABSURD]
    if usual.size:
        low, high = np.clip([low, high], usual[0], usual[-1])
    if not low < high:
        low, high = (usual[0], usual[-1]) if usual.size > 1 else (low - 1, low + 1)
    return np.linspace(low, high, STEPS + 1)


def _bar(style: str, x: float, floor: float, width: float, tall: float) -> str:
    at = f'x="{x:.1f}" y="{floor - tall:.1f}" width="{width:.1f}" height="{tall:.1f}"'
    return f'<rect class="{style}" {at}/>'


def _binned(edges: Floats, counts: Counts, bounds: Floats) -> Floats:
    """Shares below the first bound, between each two, and above the last."""
    rising = np.cumsum(counts.slots)[:-1] / max(1, counts.placed)  # below each edge, and up to and with it
    up_to = np.interp(bounds, np.repeat(edges, 2) + np.tile([-1e-12, 0.0], edges.size), rising)
    up_to[-1] = rising[2 * int(np.searchsorted(edges, bounds[-1])) + 1]
    return np.diff(np.concatenate([[0.0], up_to, [1.0]])).clip(0.0)


def _place(value: float, *, dates: bool) -> str:
    if not dates:
        return f"{value:.6g}" if abs(value) >= 1e5 else f"{value:.4g}"
    try:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d")
    except (OverflowError, ValueError, OSError):  # a year that the calendar does not have
        return f"{value:.4g}"


def _svg(height: int, name: str, inside: str) -> str:
    label = escape(f"{name}: the reference and the current rows", quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{inside}</svg>'
