"""Compare a window's profile with its reference: one test per file, one verdict for all features."""

from homeostat.core.drift.compare import OUTPUTS, compare_profiles
from homeostat.core.drift.correction import benjamini_hochberg
from homeostat.core.drift.feature import TESTS
from homeostat.core.drift.report import DriftReport, DriftVerdict, FeatureVerdict, SchemaFinding
from homeostat.core.drift.schema import check_schema, schema_findings
from homeostat.core.drift.statistic import DriftTest, Statistic

__all__ = [
    "OUTPUTS",
    "TESTS",
    "DriftReport",
    "DriftTest",
    "DriftVerdict",
    "FeatureVerdict",
    "SchemaFinding",
    "Statistic",
    "benjamini_hochberg",
    "check_schema",
    "compare_profiles",
    "schema_findings",
]
