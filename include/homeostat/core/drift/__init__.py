"""Drift: a window's profile against its reference, one test a file, one verdict for all."""

from homeostat.core.drift.compare import OUTPUTS, compare
from homeostat.core.drift.correction import benjamini_hochberg
from homeostat.core.drift.feature import TESTS
from homeostat.core.drift.report import DriftReport, FeatureVerdict, SchemaFinding
from homeostat.core.drift.schema import schema_check, schema_findings
from homeostat.core.drift.statistic import DriftTest, Statistic

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
