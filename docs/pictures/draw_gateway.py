"""Draw the path of a request through a gateway, and the background work.

python docs/pictures/draw_gateway.py
"""  # noqa: INP001  # a script, not a module

from __future__ import annotations

from pathlib import Path

from drawing import arrow, box, sheet, text

WIDTH, HEIGHT = 1180, 470
FOREGROUND = "The path of a request: memory only"
BACKGROUND = "In the background: no response waits for it (except, with log: sync, for the journal)"
#: Left, top, width, height, fill, title, lines.
BOXES = (
    (20, 60, 120, 84, "#f1f3f5", "client", ("rows, a key,", "X-Request-Id")),
    (190, 60, 150, 84, "#fff9db", "access guard", ("token, rate,", "size, deadline")),
    (390, 60, 150, 84, "#e7f5ff", "protocol", ("checked against", "model.yaml")),
    (590, 60, 150, 84, "#e7f5ff", "routing table", ("a hash of the key", "picks the cohort")),
    (790, 20, 170, 60, "#ebfbee", "champion", ("waiting rows in one batch",)),
    (790, 92, 170, 60, "#fff4e6", "candidate", ("fallback: champion",)),
    (1010, 60, 150, 84, "#f1f3f5", "response", ("version, variant,", "request id in headers")),
    (590, 270, 150, 84, "#e7f5ff", "controller", ("reads ledger 10x/s,", "swaps the table")),
    (790, 208, 170, 60, "#f3f0ff", "journal, log", ("each row once or counted",)),
    (790, 280, 170, 60, "#f3f0ff", "evidence", ("counts per second",)),
    (790, 352, 170, 60, "#fff4e6", "shadow", ("a separate process",)),
    (1010, 208, 150, 60, "#f1f3f5", "store", ("Parquet, written once",)),
    (590, 390, 150, 60, "#f1f3f5", "ledger", ("SQL: source of truth",)),
    (390, 270, 150, 84, "#f1f3f5", "cache", ("versions by digest,", "last known routing")),
    (190, 270, 150, 84, "#f1f3f5", "store, MLflow", ("only for versions", "not seen before")),
)
#: Points, and whether the arrow is dashed: background work.
ARROWS = (
    (((140, 102), (190, 102)), False),
    (((340, 102), (390, 102)), False),
    (((540, 102), (590, 102)), False),
    (((740, 90), (790, 60)), False),
    (((740, 114), (790, 122)), False),
    (((960, 50), (1010, 90)), False),
    (((960, 122), (1010, 114)), False),
    (((1085, 144), (1085, 176), (875, 176), (875, 208)), True),
    (((875, 176), (770, 176), (770, 310), (790, 310)), True),
    (((770, 310), (770, 382), (790, 382)), True),
    (((960, 238), (1010, 238)), True),
    (((665, 270), (665, 144)), True),
    (((690, 354), (690, 390)), True),
    (((640, 390), (640, 354)), True),
    (((540, 312), (590, 312)), True),
    (((340, 312), (390, 312)), True),
    (((790, 320), (740, 320)), True),
)


def svg() -> str:
    """Return the picture."""
    parts = [
        text(20, 26, FOREGROUND, size=14, weight="bold"),
        text(20, 246, BACKGROUND, size=14, weight="bold"),
    ]
    parts += [arrow(points, dashed=background) for points, background in ARROWS]
    for x, y, width, height, fill, title, lines in BOXES:
        parts.append(box(x, y, width, height, fill))
        parts.append(text(x + 12, y + 24, title, size=15, weight="bold"))
        parts += [text(x + 12, y + 45 + 17 * i, line, size=12) for i, line in enumerate(lines)]
    return sheet(WIDTH, HEIGHT, parts)


if __name__ == "__main__":
    Path(__file__).with_name("gateway.svg").write_text(svg(), encoding="utf-8")
