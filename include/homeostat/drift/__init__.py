"""Drift: a window's profile against its reference, one test a file, one verdict for all."""

from homeostat.drift.compare import OUTPUTS, compare
from homeostat.drift.correction import benjamini_hochberg
from homeostat.drift.feature import TESTS
from homeostat.drift.report import DriftReport, FeatureVerdict, SchemaFinding
from homeostat.drift.schema import schema_check, schema_findings
from homeostat.drift.statistic import DriftTest, Statistic

__all__ = [
    "OUTPUTS",
    "TESTS",
    "DriftReport",
    "DriftTest",
    "FeatureVerdict",
    "SchemaFinding",
    "Statistic",
    "benjamini_hochberg",
    "compare",
    "schema_check",
    "schema_findings",
]
