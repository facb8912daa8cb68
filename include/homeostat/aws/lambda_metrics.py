"""One log line per check in CloudWatch's embedded metric format, from which CloudWatch extracts metrics.

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


def metrics_line(
    project: str, result: Mapping[str, Any], sent: Sequence[str], at: datetime, seconds: float
) -> str:
    """Return the line of a check; a drifted share that is not computable is left out.

    Parameters
    ----------
    result
        The result of :func:`homeostat.monitoring.drift_check.check_drift`.
    sent
        Ids of the triggers sent after the check.
    at
        The end of the check.
    seconds
        Its duration.
    """
    values: dict[str, float | None] = {
        "Checked": 1,
        "Fired": int(result["fired"]),
        "Rows": result["rows"],
        "DriftedShare": result["drifted_share"],
        "Seconds": round(seconds, 3),
    }
    metrics = {name: value for name, value in values.items() if value is not None}
    metadata = {
        "Timestamp": int(at.timestamp() * 1000),
        "CloudWatchMetrics": [
            {
                "Namespace": NAMESPACE,
                "Dimensions": [list(DIMENSIONS)],
                "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in metrics],
            }
        ],
    }
    details = {name: result[name] for name in ("window_end", "verdict", "performance", "reason", "sentence")}
    line = {"_aws": metadata, "Project": project, "Model": result["model"], **metrics, **details}
    return json.dumps({**line, "sent": list(sent)}, allow_nan=False)
