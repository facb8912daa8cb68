"""Draw the rooms and stores that ARCHITECTURE.md describes.

python docs/pictures/draw_architecture.py
"""  # noqa: INP001  # a script, not a module

from __future__ import annotations

from pathlib import Path

from drawing import arrow, box, sheet, text

WIDTH, HEIGHT, BOX_W, BOX_H = 1010, 400, 150, 50
ROOM, STORE, PURE = "#e7f5ff", "#f1f3f5", "#ebfbee"
#: Title, left edge, top edge, fill.
BOXES = (
    ("http", 40, 50, ROOM),
    ("inference", 240, 50, ROOM),
    ("recorder", 440, 50, ROOM),
    ("sync", 240, 130, ROOM),
    ("storage", 700, 50, STORE),
    ("monitoring", 700, 150, ROOM),
    ("retraining", 700, 250, ROOM),
    ("rollouts", 440, 250, ROOM),
    ("ledger", 240, 250, STORE),
    ("MLflow", 440, 340, STORE),
    ("core", 700, 340, PURE),
)
#: Points, label, position of the label.
ARROWS = (
    (((190, 75), (240, 75)), "", (0, 0)),
    (((390, 75), (440, 75)), "", (0, 0)),
    (((315, 130), (315, 100)), "", (0, 0)),
    (((590, 75), (700, 75)), "rows, labels", (655, 66)),
    (((775, 100), (775, 150)), "", (0, 0)),
    (((775, 200), (775, 250)), "trigger: asset event or SQS message", (890, 228)),
    (((700, 275), (590, 275)), "version", (645, 266)),
    (((440, 275), (390, 275)), "", (0, 0)),
    (((515, 300), (515, 340)), "aliases", (545, 325)),
)
BOTH = (((315, 180), (315, 250)), "evidence, routing", (375, 220))


def svg() -> str:
    """Return the picture."""
    parts = [
        box(20, 20, 590, 175, "#f8f9fa"),
        text(30, 38, "serving: the gateway", size=13, fill="#495057", anchor="start"),
    ]
    for points, label, (x, y) in ARROWS:
        parts.append(arrow(points))
        if label:
            parts.append(text(x, y, label, size=12, fill="#495057", anchor="middle"))
    points, label, (x, y) = BOTH
    parts += [arrow(points, both=True), text(x, y, label, size=12, fill="#495057", anchor="middle")]
    for title, x, y, fill in BOXES:
        parts.append(box(x, y, BOX_W, BOX_H, fill))
        parts.append(text(x + BOX_W // 2, y + 30, title, size=14, anchor="middle", weight="bold"))
    parts.append(text(862, 362, "pure decisions, which", size=12, fill="#495057", anchor="start"))
    parts.append(text(862, 378, "all rooms call", size=12, fill="#495057", anchor="start"))
    return sheet(WIDTH, HEIGHT, parts, both_ways=True)


if __name__ == "__main__":
    Path(__file__).with_name("architecture.svg").write_text(svg(), encoding="utf-8")
