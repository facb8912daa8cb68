"""Decide whether to retrain: rules over the history of checked windows."""

from homeostat.core.trigger.backoff import MAX_BACKOFF_FACTOR
from homeostat.core.trigger.causes import SIGNIFICANT_GAIN
from homeostat.core.trigger.decide import decide_trigger
from homeostat.core.trigger.reasons import SENTENCES, TriggerReason, sentence_for
from homeostat.core.trigger.records import Impact, WindowRecord, WindowVerdict
from homeostat.core.trigger.result import TriggerDecision
from homeostat.core.trigger.retrain_end import RetrainEnd, RetrainResult
from homeostat.core.trigger.tenure import drifting_since, tenure

__all__ = [
    "MAX_BACKOFF_FACTOR",
    "SENTENCES",
    "SIGNIFICANT_GAIN",
    "Impact",
    "RetrainEnd",
    "RetrainResult",
    "TriggerDecision",
    "TriggerReason",
    "WindowRecord",
    "WindowVerdict",
    "decide_trigger",
    "drifting_since",
    "sentence_for",
    "tenure",
]
