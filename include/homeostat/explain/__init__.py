"""The story of one decision in plain words, from its record: a checked window, or a version."""

from homeostat.explain.records import RetrainRecord, read_retrain, read_window, retrain_of_version
from homeostat.explain.retrain import explain_retrain
from homeostat.explain.story import Section, Story
from homeostat.explain.window import explain_window

__all__ = [
    "RetrainRecord",
    "Section",
    "Story",
    "explain_retrain",
    "explain_window",
    "read_retrain",
    "read_window",
    "retrain_of_version",
]
