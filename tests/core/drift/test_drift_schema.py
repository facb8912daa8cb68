"""Rows checked against the schema of model.yaml."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from homeostat.config.model import ModelConfig, Monitor
from homeostat.core.drift import check_schema, compare_profiles, schema_findings
from homeostat.core.profile import Reference, count_dataframe

CONFIG = ModelConfig.model_validate(
    {
        "name": "m",
        "task": "regression",
        "pipeline": "pipeline.py:build",
        "source": {"kind": "csv", "uri": "x.csv"},
        "schema": {
            "timestamp": "at",
            "key": "site",
            "label": {"name": "y"},
            "features": {
                "temp": {"type": "number"},
                "pressure": {"type": "number", "required": False},
                "season": {"type": "category", "categories": ["1", "2"]},
            },
        },
    }
)
ROWS = pd.DataFrame(
    {"at": ["t"] * 4, "site": 1, "y": 0.5, "temp": 1.0, "pressure": 2.0, "season": [1, 2, 1, 2]}
)


def found(rows):
    return {(finding.column, finding.kind, finding.severity) for finding in check_schema(rows, CONFIG)}


def test_rows_that_match_the_schema_have_no_findings():
    assert check_schema(ROWS, CONFIG) == []
    assert check_schema({"temp": "float64", "pressure": "int64", "season": "str"}, CONFIG) == []


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (ROWS.drop(columns="temp"), {("temp", "missing", "critical")}),
        (ROWS.drop(columns="pressure"), {("pressure", "missing", "warning")}),
        (ROWS.assign(wind=1), {("wind", "new", "info")}),
        (ROWS.assign(temp="warm"), {("temp", "retyped", "critical")}),
        (ROWS.assign(temp=[1.0, 2.0, 3.0, "warm"]), {("temp", "retyped", "warning")}),
        (ROWS.assign(season=pd.Series(["1", "2", "9", None])), {("season", "new_category", "warning")}),
        (ROWS.assign(temp=np.nan), {("temp", "missing_rate", "critical")}),
        (ROWS.iloc[:0], set()),
        ({"temp": "str", "pressure": "double", "season": "int64"}, {("temp", "retyped", "critical")}),
    ],
)
def test_each_violation_is_found(rows, expected):
    assert found(rows) == expected


def test_a_renamed_column_is_missing_and_new_with_a_hint():
    findings = check_schema(ROWS.rename(columns={"temp": "temp_c"}), CONFIG)
    assert [(f.column, f.kind) for f in findings] == [("temp", "missing"), ("temp_c", "new")]
    assert "renamed to 'temp_c'?" in findings[0].detail


def test_findings_without_rows_come_from_the_report_and_the_extra_columns():
    reference = Reference.fit(pd.concat([ROWS] * 100), {"temp": "number", "season": "category"})
    window = count_dataframe(reference.edges, pd.concat([ROWS.drop(columns="temp")] * 100))
    report = compare_profiles(reference.profile, window, Monitor())
    findings = schema_findings(report, extra=["temp_c", "season"], config=CONFIG)
    assert [(f.column, f.kind, f.severity) for f in findings] == [
        ("temp", "missing", "critical"),
        ("temp_c", "new", "info"),
    ]
    assert "temp_c" in findings[0].detail
    assert report.with_schema(findings).schema == tuple(findings)
