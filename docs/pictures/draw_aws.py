"""Draws what of Homeostat lives in AWS, what lives with the team, and what passes between them.

python docs/pictures/draw_aws.py
"""  # noqa: INP001  # a script that stands alone

from __future__ import annotations

from pathlib import Path

from drawing import arrow, box, sheet, text

WIDTH, HEIGHT = 1180, 560
#: Left, top, width, height, title.
REGIONS = (
    (10, 14, 430, 532, "Where the team runs it"),
    (476, 14, 694, 532, "AWS: infra/terraform"),
)
OURS, CLOUD, DATA, WORK = "#fff9db", "#e7f5ff", "#f3f0ff", "#ebfbee"
#: Left, top, width, height, fill, title, lines.
BOXES = (
    (30, 84, 180, 70, WORK, "gateways", ("answer requests,", "by the ledger's routing")),
    (250, 84, 170, 70, DATA, "ledger", ("SQL: who serves what,", "the truth about it")),
    (30, 214, 180, 86, OURS, "drift_check", ("a DAG per model: publishes,", "collects, sends notices")),
    (250, 214, 170, 86, DATA, "MLflow", ("runs, versions, and the", "history as people see it")),
    (250, 352, 170, 70, OURS, "retrain", ("a DAG per model:", "assemble to rollout")),
    (250, 456, 170, 70, OURS, "consume_retrain_triggers", ("a DAG: a run per message,", "then it is deleted")),
    (520, 84, 200, 216, DATA, "data bucket: the store", ()),
    (760, 84, 180, 70, DATA, "artifact bucket", ("MLflow's artifacts,", "locked where asked for")),
    (970, 84, 180, 70, CLOUD, "EventBridge", ("one schedule", "for each model")),
    (970, 200, 180, 86, CLOUD, "drift detector", ("Lambda: the same check,", "without MLflow and SQL")),
    (970, 352, 180, 70, CLOUD, "trigger queue", ("SQS FIFO: a trigger", "counts once")),
    (970, 472, 180, 54, CLOUD, "dead letters", ("read three times, in vain",)),
    (520, 352, 200, 70, CLOUD, "Fargate", ("homeostat train-step,", "the image by its digest")),
    (750, 336, 130, 86, CLOUD, "CloudWatch", ("logs, dashboard,", "alarms, also on", "silence")),
)
FOLDERS = (
    ("log/", "requests and answers"),
    ("published/", "model.yaml, ledger"),
    ("bundles/", "the versions' bytes"),
    ("snapshots/", "rows to learn from"),
    ("profiles/", "counts per hour"),
    ("history/", "what checks found"),
    ("notices/", "what people shall hear"),
    ("triggers/", "receipts of sent ones"),
)
#: Points; whether it goes both ways.
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
#: Left, baseline, words.
LABELS = (
    (226, 52, "prediction log there, bundles here"),
    (186, 179, "asks who serves"),
    (128, 320, "published/ there, history/ here"),
    (1068, 182, "on the hour"),
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
    """The whole picture."""
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
        parts.append(text(532 + 72, 132 + 22 * i, what, size=10))
    parts += [text(x, y, words, size=11) for x, y, words in LABELS]
    return sheet(WIDTH, HEIGHT, parts, both_ways=True)


if __name__ == "__main__":
    Path(__file__).with_name("aws.svg").write_text(svg(), encoding="utf-8")
