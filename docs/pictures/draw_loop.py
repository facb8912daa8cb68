"""Draw the loop from a request to the promoted version.

python docs/pictures/draw_loop.py
"""  # noqa: INP001  # a script, not a module

from __future__ import annotations

from pathlib import Path

from drawing import arrow, box, sheet, text

WIDTH, HEIGHT, BOX_W, BOX_H = 1000, 310, 150, 62
#: Title, second line, left edge, top edge, fill.
BOXES = (
    ("gateway", "serves all requests", 20, 40, "#e7f5ff"),
    ("prediction log", "requests, labels", 225, 40, "#f1f3f5"),
    ("check", "drift, performance", 430, 40, "#f1f3f5"),
    ("trigger", "stale?", 635, 40, "#fff9db"),
    ("retrain", "rows, fit, holdout", 830, 40, "#f1f3f5"),
    ("gate", "no worse?", 830, 220, "#fff9db"),
    ("shadow", "copies of requests", 635, 220, "#e7f5ff"),
    ("canary", "a share of them", 430, 220, "#e7f5ff"),
    ("promote", "becomes champion", 225, 220, "#ebfbee"),
)
ARROWS = (
    ((170, 71), (225, 71)),
    ((375, 71), (430, 71)),
    ((580, 71), (635, 71)),
    ((785, 71), (830, 71)),
    ((905, 102), (905, 220)),
    ((830, 251), (785, 251)),
    ((635, 251), (580, 251)),
    ((430, 251), (375, 251)),
    ((225, 251), (95, 251), (95, 102)),
)
#: What a candidate that is worse goes back to.
REFUSED = (((710, 220), (710, 160), (62, 160), (62, 102)), ((505, 220), (505, 160)))


def svg() -> str:
    """Return the picture."""
    parts = [arrow(points) for points in ARROWS]
    parts += [arrow(points, dashed=True) for points in REFUSED]
    parts.append(
        text(300, 152, "worse: rolled back, the champion stays", size=13, fill="#495057", anchor="middle")
    )
    parts.append(text(130, 272, "serves", size=13, fill="#495057", anchor="middle"))
    parts.append(text(805, 62, "yes", size=12, fill="#495057", anchor="middle"))
    parts.append(text(808, 242, "yes", size=12, fill="#495057", anchor="middle"))
    for title, line, x, y, fill in BOXES:
        parts.append(box(x, y, BOX_W, BOX_H, fill))
        parts.append(text(x + BOX_W // 2, y + 27, title, size=16, anchor="middle", weight="bold"))
        parts.append(text(x + BOX_W // 2, y + 47, line, size=13, anchor="middle"))
    return sheet(WIDTH, HEIGHT, parts)


if __name__ == "__main__":
    Path(__file__).with_name("loop.svg").write_text(svg(), encoding="utf-8")
