import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError, EmptyWindow, QualityRefused
from homeostat.core.training_data import check_quality, run_checks


def config(*expectations, max_quarantined=0.5, **features):
    return ModelConfig.model_validate(
        {
            "name": "bike",
            "task": "classification",
            "pipeline": "pipeline.py:build",
            "source": {"kind": "csv", "uri": "x.csv"},
            "schema": {
                "label": {"name": "y"},
                "features": {
                    "temp": {"type": "number", "range": [0, 1]},
                    "season": {"type": "category", "categories": ["1", "2"]},
                }
                | features,
            },
            "training": {"expectations": list(expectations), "max_quarantined": max_quarantined},
        }
    )


def frame(size=10, **columns):
    base = {
        "timestamp": pd.date_range("2024-01-01", periods=size, freq="h", tz="UTC"),
        "temp": np.linspace(0, 1, size),
        "season": ["1", "2"] * (size // 2),
        "y": [0, 1] * (size // 2),
    }
    return pd.DataFrame(base | columns)


def temps(*values):
    return frame(temp=[*values, *[0.5] * (10 - len(values))])


def check_of(report, source):
    return next(check for check in report.checks if check.source == source)


def test_good_rows_pass():
    report = check_quality(frame(), config())
    assert report.passed
    assert (len(report.kept), len(report.quarantined)) == (10, 0)
    assert {check.verdict for check in report.checks} == {"pass"}


def test_rows_outside_the_range_of_the_schema_are_quarantined_and_counted():
    report = check_quality(temps(5.0, -1.0, 0.2), config())
    assert report.quarantined.temp.tolist() == [5.0, -1.0]
    assert set(report.quarantined.reason) == {
        "schema.features.temp.range: expect_column_values_to_be_between"
    }
    check = check_of(report, "schema.features.temp.range")
    assert (check.verdict, check.quarantined, check.unexpected) == ("alert", 2, 2)
    assert "2 of 10 rows, for example 5, -1" in check.reason
    assert report.rows == len(report.kept) + len(report.quarantined)


def test_rows_of_an_unknown_category_are_quarantined():
    report = check_quality(frame(season=["9"] + ["1"] * 9), config())
    assert report.quarantined.season.tolist() == ["9"]


def test_missing_values_are_allowed_and_too_many_are_reported():
    report = check_quality(temps(np.nan, np.nan), config())
    assert report.quarantined.empty
    assert check_of(report, "monitor.max_missing").verdict == "alert"


def test_a_required_feature_that_is_missing_throughout_refuses_the_data():
    with pytest.raises(QualityRefused, match=r"schema\.features\.temp\.required"):
        check_quality(frame(temp=[np.nan] * 10), config())


def test_an_optional_feature_that_is_missing_throughout_is_only_reported():
    report = check_quality(frame(temp=[np.nan] * 10), config(temp={"type": "number", "required": False}))
    assert report.passed
    assert check_of(report, "monitor.max_missing").verdict == "alert"


def test_more_than_the_allowed_share_refuses_and_keeps_what_it_refused():
    with pytest.raises(QualityRefused, match=r"2 of 10 rows \(20\.0%\).*allows 10\.0%") as refused:
        check_quality(temps(5.0, 6.0), config(max_quarantined=0.1))
    assert refused.value.quarantined.temp.tolist() == [5.0, 6.0]
    assert refused.value.report["passed"] is False
    json.dumps(refused.value.report, allow_nan=False)


def test_exactly_the_allowed_share_is_allowed():
    assert check_quality(temps(5.0), config(max_quarantined=0.1)).passed


def test_rows_that_were_quarantined_before_count_towards_the_share():
    settings = config(max_quarantined=0.15)
    assert check_quality(temps(5.0), settings).passed
    before = pd.DataFrame({"temp": ["hot", "hot"], "reason": ["temp: mistyped"] * 2})
    with pytest.raises(QualityRefused) as refused:
        check_quality(temps(5.0), settings, already_quarantined=before)
    assert (
        "3 of 12 rows (25.0%) were quarantined: 2 by column 'temp' (not of the type in model.yaml, "
        "for example 'hot'), 1 by schema.features.temp.range (for example 5); training.max_quarantined "
        "allows 15.0%"
    ) in str(refused.value)


def test_a_users_expectation_is_named_with_its_column():
    spec = {"type": "expect_column_values_to_be_between", "column": "temp", "max_value": 0.5}
    with pytest.raises(QualityRefused) as refused:
        check_quality(temps(0.9, 0.8), config(spec, max_quarantined=0.1))
    said = str(refused.value)
    assert "by training.expectations[0], expect_column_values_to_be_between of 'temp' (for example" in said


def test_a_users_row_expectation_quarantines_its_rows():
    spec = {"type": "expect_column_pair_values_a_to_be_greater_than_b", "column_A": "temp", "column_B": "low"}
    report = check_quality(frame(low=[2.0] + [-1.0] * 9), config(spec, low={"type": "number"}))
    assert len(report.quarantined) == 1
    assert "training.expectations[0]" in report.quarantined.reason[0]


def test_arguments_may_be_given_under_kwargs_as_well():
    spec = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "temp", "max_value": 0.5},
        "severity": "critical",
    }
    assert len(check_quality(frame(), config(spec)).quarantined) == 5


def test_a_warning_quarantines_no_row():
    spec = {
        "type": "expect_column_values_to_be_between",
        "column": "temp",
        "max_value": 0.5,
        "severity": "warning",
    }
    report = check_quality(frame(), config(spec))
    assert report.quarantined.empty
    check = check_of(report, "training.expectations[0]")
    assert (check.verdict, check.unexpected, check.quarantined) == ("alert", 5, 0)


def test_mostly_tolerates_as_many_rows_as_it_says():
    spec = {"type": "expect_column_values_to_be_between", "column": "temp", "max_value": 0.5, "mostly": 0.5}
    assert check_quality(frame(), config(spec)).quarantined.empty


@pytest.mark.parametrize(("severity", "refused"), [("critical", True), ("warning", False)])
def test_a_table_expectation_refuses_when_it_is_critical(severity, refused):
    spec = {
        "type": "expect_column_mean_to_be_between",
        "column": "temp",
        "max_value": 0.1,
        "severity": severity,
    }
    report = run_checks(frame(), config(spec))
    assert report.passed is not refused
    assert "found 0.5" in check_of(report, "training.expectations[0]").reason


@pytest.mark.parametrize(("severity", "refused"), [("critical", True), ("warning", False)])
def test_an_expectation_about_a_column_that_is_not_there_is_never_a_pass(severity, refused):
    spec = {"type": "expect_column_values_to_be_unique", "column": "nope", "severity": severity}
    report = run_checks(frame(), config(spec))
    check = check_of(report, "training.expectations[0]")
    assert check.verdict == "not_computable"
    assert "'nope'" in check.reason
    assert report.passed is not refused


def test_an_expectation_that_raises_is_not_computable_and_spoils_no_other():
    spec = {"type": "expect_column_mean_to_be_between", "column": "season", "max_value": 1}
    report = run_checks(temps(5.0), config(spec))
    assert check_of(report, "training.expectations[0]").verdict == "not_computable"
    assert check_of(report, "schema.features.temp.range").quarantined == 1
    assert not report.passed


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "expect_column_values_to_be_betwen", "column": "temp"}, "did you mean 'expect_column"),
        ({"type": "expect_column_values_to_be_between", "column": "temp", "maxvalue": 1}, "maxvalue"),
        ({"column": "temp"}, r"expectations\[0\]: write for example"),
        ({"type": "expect_column_values_to_be_unique", "severity": "fatal"}, "found 'fatal'"),
    ],
    ids=["misspelt", "unknown argument", "no type", "severity"],
)  # fmt: skip
def test_an_impossible_expectation_is_a_configuration_error_that_says_the_fix(spec, message):
    with pytest.raises(ConfigError, match=message) as error:
        check_quality(frame(), config(spec))
    assert "training.expectations[0]" in str(error.value)


def test_no_rows_are_not_a_pass():
    with pytest.raises(EmptyWindow, match="not computable"):
        check_quality(frame().iloc[:0], config())


def test_the_rows_found_are_right_whatever_the_frames_index():
    rows = temps(0.1, 5.0)
    rows.index = range(100, 110)
    assert check_quality(rows, config()).quarantined.temp.tolist() == [5.0]


def test_a_row_that_fails_twice_is_quarantined_once():
    spec = {"type": "expect_column_values_to_be_between", "column": "temp", "max_value": 2}
    report = check_quality(temps(5.0), config(spec))
    assert len(report.quarantined) == 1
    assert "; " in report.quarantined.reason[0]


def test_the_report_is_plain_json():
    raw = json.dumps(run_checks(temps(5.0), config()).to_json(), allow_nan=False)
    assert json.loads(raw)["quarantined"] == 1


def printed_by(code):
    """Return what a new process prints that runs this code."""
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": "include", "PATH": "/usr/bin"},
    )
    return run.stdout.strip()


def test_an_installed_pyspark_does_not_end_a_process_without_a_main_file():
    pytest.importorskip("pyspark")
    code = "import homeostat.core.training_data.great_expectations_import, pyspark.sql; print('alive')"
    assert printed_by(code) == "alive"


def test_the_package_is_imported_without_great_expectations():
    code = "import sys, homeostat.core.training_data; print('great_expectations' in sys.modules)"
    assert printed_by(code) == "False"
