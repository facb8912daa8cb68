"""The health of a model as people see it: state, reasons, past and future, from the record alone."""

from homeostat.core.model_health.findings import findings
from homeostat.core.model_health.record import EndedRetrain, ModelFacts, ModelPast, RegisteredVersion
from homeostat.core.model_health.score_text import describe_score, score_json
from homeostat.core.model_health.states import LEVELS, Finding, HealthState, Level
from homeostat.core.model_health.timeline import Mark, timeline
from homeostat.core.model_health.upcoming import Upcoming, upcoming
from homeostat.core.model_health.view import (
    DEFAULT_RANGE,
    MAX_WINDOWS,
    RANGES,
    Links,
    fleet,
    model_view,
)
from homeostat.core.model_health.window_summary import (
    AlertRuns,
    FeatureEffect,
    StepTraffic,
    WindowSummary,
)

__all__ = [
    "DEFAULT_RANGE",
    "LEVELS",
    "MAX_WINDOWS",
    "RANGES",
    "AlertRuns",
    "EndedRetrain",
    "FeatureEffect",
    "Finding",
    "HealthState",
    "Level",
    "Links",
    "Mark",
    "ModelFacts",
    "ModelPast",
    "RegisteredVersion",
    "StepTraffic",
    "Upcoming",
    "WindowSummary",
    "describe_score",
    "findings",
    "fleet",
    "model_view",
    "score_json",
    "timeline",
    "upcoming",
]
