"""Draw the phases of a rollout, with their sentences from the code.

PYTHONPATH=include python docs/pictures/draw_rollout.py
"""  # noqa: INP001  # a script, not a module

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

from drawing import arrow, box, sheet, text

from homeostat.core.rollout import PHASE_SENTENCES, Phase

WIDTH, HEIGHT, BOX_W, BOX_H = 1180, 440, 196, 96
#: Phase, left edge, top edge, fill.
BOXES = (
    (Phase.REGISTERED, 20, 40, "#f1f3f5"),
    (Phase.SHADOW, 256, 40, "#e7f5ff"),
    (Phase.CANARY, 492, 40, "#e7f5ff"),
    (Phase.WAITING, 728, 40, "#fff9db"),
    (Phase.CHAMPION, 964, 40, "#ebfbee"),
    (Phase.ROLLED_BACK, 492, 310, "#fff5f5"),
    (Phase.SUPERSEDED, 20, 310, "#f1f3f5"),
)
#: Points, label, position of the label.
ARROWS = (
    (((216, 88), (256, 88)), "loaded", (236, 30)),
    (((452, 88), (492, 88)), "duration over, enough rows", (472, 30)),
    (((688, 88), (728, 88)), "approval required", (708, 30)),
    (((924, 88), (964, 88)), "approved", (944, 30)),
    (((590, 40), (590, 12), (1062, 12), (1062, 40)), "last step passed", (826, 8)),
    (((670, 136), (670, 162), (620, 162), (620, 136)), "next step", (706, 158)),
    (((354, 136), (354, 240), (540, 240), (540, 310)), "a check fails, or inconclusive", (450, 232)),
    (((590, 136), (590, 310)), "", (0, 0)),
    (((826, 136), (826, 240), (640, 240), (640, 310)), "a check fails, or declined", (738, 232)),
    (((1062, 136), (1062, 358), (688, 358)), "an epoch fails, or manually", (980, 378)),
    (((118, 136), (118, 310)), "a newer candidate, from any of these four", (244, 296)),
)


def svg() -> str:
    """Return the picture."""
    parts = []
    for points, label, (x, y) in ARROWS:
        parts.append(arrow(points))
        if label:
            parts.append(text(x, y, label, size=12, fill="#495057", anchor="middle"))
    for phase, x, y, fill in BOXES:
        title = str(phase).replace("_", " ")
        parts.append(box(x, y, BOX_W, BOX_H, fill))
        parts.append(text(x + 10, y + 22, title, size=15, anchor="start", weight="bold"))
        for line, words in enumerate(wrap(PHASE_SENTENCES[phase], 30)):
            parts.append(text(x + 10, y + 44 + 16 * line, words, size=12, anchor="start"))
    return sheet(WIDTH, HEIGHT, parts)


if __name__ == "__main__":
    Path(__file__).with_name("rollout.svg").write_text(svg(), encoding="utf-8")
