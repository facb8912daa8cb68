"""One line per check in CloudWatch's embedded metric format: a log line that is a measurement as well.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

NAMESPACE = "Homeostat"
DIMENSIONS = ("Project", "Model")
UNITS = {"Checked": "Count", "Fired": "Count", "Rows": "Count", "DriftedShare": "None", "Seconds": "Seconds"}


def line(project: str, answer: Mapping[str, Any], sent: Sequence[str], at: datetime, seconds: float) -> str:
    """The line of a check; a drifted share that could not be computed is no measurement.

    Parameters
    ----------
    answer
        What :func:`homeostat.monitoring.drift_check.check_drift` gave.
    sent
        Ids of the triggers that were sent after it.
    at
        When the check ended, which took ``seconds``.
    """
    values: dict[str, float | None] = {
        "Checked": 1,
        "Fired": int(answer["fired"]),
        "Rows": answer["rows"],
        "DriftedShare": answer["drifted_share"],
        "Seconds": round(seconds, 3),
    }
    measured = {name: value for name, value in values.items() if value is not None}
    described = {
        "Timestamp": int(at.timestamp() * 1000),
        "CloudWatchMetrics": [
            {
                "Namespace": NAMESPACE,
                "Dimensions": [list(DIMENSIONS)],
                "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in measured],
            }
        ],
    }
    told = {name: answer[name] for name in ("window_end", "verdict", "performance", "reason", "sentence")}
    whole = {"_aws": described, "Project": project, "Model": answer["model"], **measured, **told}
    return json.dumps({**whole, "sent": list(sent)}, allow_nan=False)
