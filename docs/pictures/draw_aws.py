"""Draw which parts of Homeostat run on AWS, which elsewhere, and the data between them.

python docs/pictures/draw_aws.py
"""  # noqa: INP001  # a script, not a module

from __future__ import annotations

from pathlib import Path

from drawing import arrow, box, sheet, text

WIDTH, HEIGHT = 1180, 560
#: Left, top, width, height, title.
REGIONS = (
    (10, 14, 430, 532, "Your platform"),
    (476, 14, 694, 532, "AWS (infra/terraform)"),
)
AIRFLOW, AWS, DATA, GATEWAY = "#fff9db", "#e7f5ff", "#f3f0ff", "#ebfbee"
#: Left, top, width, height, fill, title, lines.
BOXES = (
    (30, 84, 180, 70, GATEWAY, "gateways", ("serve predictions,", "routing from ledger")),
    (250, 84, 170, 70, DATA, "ledger", ("SQL: which version", "serves which share")),
    (
        30,
        214,
        180,
        86,
        AIRFLOW,
        "drift_check",
        ("a DAG per model:", "publishes state, copies", "records, notifies"),
    ),
    (250, 214, 170, 86, DATA, "MLflow", ("runs, versions,", "history of checks")),
    (250, 352, 170, 70, AIRFLOW, "retrain", ("a DAG per model:", "assemble to rollout")),
    (
        180,
        456,
        240,
        70,
        AIRFLOW,
        "consume_retrain_triggers",
        ("a DAG: one run per message,", "then deletes it"),
    ),
    (520, 84, 200, 216, DATA, "data bucket (store)", ()),
    (760, 84, 180, 70, DATA, "artifact bucket", ("MLflow's artifacts,", "optional object lock")),
    (970, 84, 180, 70, AWS, "EventBridge", ("one schedule", "per model")),
    (970, 200, 180, 86, AWS, "drift check", ("Lambda: the same check,", "without MLflow and SQL")),
    (970, 352, 180, 70, AWS, "trigger queue", ("SQS FIFO: each trigger", "counts once")),
    (970, 472, 180, 54, AWS, "dead letters", ("not processed in 3 tries",)),
    (520, 352, 200, 70, AWS, "Fargate", ("homeostat train-step,", "image pinned by digest")),
    (750, 336, 130, 86, AWS, "CloudWatch", ("logs, dashboard,", "alarms, also for", "stopped checks")),
)
FOLDERS = (
    ("log/", "inputs, predictions"),
    ("published/", "model state"),
    ("bundles/", "versions' files"),
    ("snapshots/", "training rows"),
    ("profiles/", "hourly counts"),
    ("history/", "drift checks"),
    ("notices/", "notifications"),
    ("triggers/", "sent triggers"),
)
#: Points; whether the arrow has two heads.
ARROWS = (
    (((120, 84), (120, 58), (620, 58), (620, 84)), True),
    (((210, 119), (250, 119)), True),
    (((180, 214), (180, 184), (335, 184), (335, 154)), False),
    (((210, 257), (250, 257)), False),
    (((120, 300), (120, 326), (504, 326), (504, 280), (520, 280)), True),
    (((1060, 154), (1060, 200)), False),
    (((720, 243), (970, 243)), True),
    (((1060, 286), (1060, 352)), False),
    (((1060, 422), (1060, 472)), False),
    (((970, 400), (910, 400), (910, 491), (420, 491)), False),
    (((335, 456), (335, 422)), False),
    (((335, 352), (335, 300)), False),
    (((420, 387), (520, 387)), False),
    (((620, 352), (620, 300)), True),
    (((520, 366), (488, 366), (488, 257), (420, 257)), False),
)
#: Left, baseline, text.
LABELS = (
    (226, 52, "prediction log out, bundles in"),
    (186, 179, "reads traffic"),
    (128, 320, "published/ out, history/ in"),
    (1068, 182, "on schedule"),
    (732, 236, "log/, published/, bundles/ in;"),
    (732, 260, "history/, notices/, profiles/ out"),
    (1068, 324, "when it fires"),
    (1068, 452, "after 3 tries"),
    (560, 485, "long polling by the triggerer"),
    (343, 446, "starts it"),
    (444, 380, "train"),
    (628, 330, "rows in, bundle out"),
)


def svg() -> str:
    """Return the picture."""
    parts = []
    for x, y, width, height, title in REGIONS:
        parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10" fill="none" stroke="#adb5bd" '
            'stroke-dasharray="6 5"/>'
        )
        parts.append(text(x + 14, y + 22, title, size=14, weight="bold"))
    parts += [arrow(points, both=both) for points, both in ARROWS]
    for x, y, width, height, fill, title, lines in BOXES:
        parts += [box(x, y, width, height, fill), text(x + 12, y + 24, title, size=15, weight="bold")]
        parts += [text(x + 12, y + 44 + 17 * i, line, size=12) for i, line in enumerate(lines)]
    for i, (folder, what) in enumerate(FOLDERS):
        parts.append(text(532, 132 + 22 * i, folder, size=12, weight="bold"))
        parts.append(text(532 + 82, 132 + 22 * i, what, size=10))
    parts += [text(x, y, words, size=11) for x, y, words in LABELS]
    return sheet(WIDTH, HEIGHT, parts, both_ways=True)


if __name__ == "__main__":
    Path(__file__).with_name("aws.svg").write_text(svg(), encoding="utf-8")
