"""SVG elements of the drawn pictures: sheet, boxes, arrows, text."""  # noqa: INP001  # beside the scripts

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def sheet(width: int, height: int, parts: Iterable[str], *, both_ways: bool = False) -> str:
    """Return an SVG image with the parts; set ``both_ways`` if an arrow has two heads."""
    orient = "auto-start-reverse" if both_ways else "auto"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"',
        f'orient="{orient}"><path d="M0,0 L10,5 L0,10 z" fill="#495057"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    )
    return "\n".join([*head, *parts, "</svg>", ""])


def arrow(points: Iterable[tuple[int, int]], *, dashed: bool = False, both: bool = False) -> str:
    """Return a line through the points, with a head at the last or at both ends."""
    path = " L".join(f"{x},{y}" for x, y in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    start = ' marker-start="url(#tip)"' if both else ""
    return f'<path d="M{path}" fill="none" stroke="#495057"{dash}{start} marker-end="url(#tip)"/>'


def box(x: int, y: int, width: int, height: int, fill: str) -> str:
    """Return a box with round corners."""
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{fill}" stroke="#868e96"/>'


def text(
    x: int, y: int, words: str, *, size: int, fill: str = "#212529", anchor: str = "", weight: str = ""
) -> str:
    """Return one line of text at this point."""
    held = f' text-anchor="{anchor}"' if anchor else ""
    bold = f' font-weight="{weight}"' if weight else ""
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{fill}"{held}{bold}>{escape(words)}</text>'
