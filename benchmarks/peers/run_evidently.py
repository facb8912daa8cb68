"""Evidently's DataDriftPreset, by its defaults or with ``ks`` as second argument: KS and chi-square.

As https://docs.evidentlyai.com/metrics/preset_data_drift shows it: a Report run on two Datasets.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import evidently
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
from timing import CATEGORIES, NUMBERS, run

METHODS = {"num_method": "ks", "cat_method": "chisquare"} if "ks" in sys.argv[2:] else {}
SCHEMA = DataDefinition(numerical_columns=NUMBERS, categorical_columns=CATEGORIES)


def dataset(frame: pd.DataFrame) -> Dataset:
    """A frame as Evidently takes it."""
    return Dataset.from_pandas(frame, data_definition=SCHEMA)


def check(reference: Dataset, window: pd.DataFrame) -> dict[str, Any]:
    """The report's figures; without its HTML, which would take longer."""
    return Report([DataDriftPreset(**METHODS)]).run(dataset(window), reference).dict()


def read(report: dict[str, Any]) -> tuple[bool | None, int]:
    """Its count of drifted columns, and drift from half of them on, which is its default."""
    metric = next(item for item in report["metrics"] if "DriftedColumnsCount" in item["metric_name"])
    return metric["value"]["share"] >= 0.5, int(metric["value"]["count"])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    kind = "KS and chi-square" if METHODS else "defaults"
    run(f"Evidently, {kind}", evidently.__version__, dataset, check, read)
