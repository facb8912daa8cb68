"""Decide whether to retrain: rules over the history of checked windows."""

from homeostat.core.trigger.backoff import MAX_BACKOFF_FACTOR
from homeostat.core.trigger.decide import decide_trigger
from homeostat.core.trigger.reasons import SENTENCES, TriggerReason, action_for, sentence_for
from homeostat.core.trigger.records import Impact, WindowRecord, WindowVerdict
from homeostat.core.trigger.result import TriggerDecision
from homeostat.core.trigger.retrain_end import RetrainEnd, RetrainResult
from homeostat.core.trigger.silence import LEAST_SILENCE, SILENT_AFTER_PERIODS, silent_after
from homeostat.core.trigger.tenure import alert_run, drifting_since, tenure
from homeostat.core.trigger.worthwhile import MIN_UNLEARNED, PROBE_WAIT, Worthwhile, probe_wait, worthwhile

__all__ = [
    "LEAST_SILENCE",
    "MAX_BACKOFF_FACTOR",
    "MIN_UNLEARNED",
    "PROBE_WAIT",
    "SENTENCES",
    "SILENT_AFTER_PERIODS",
    "Impact",
    "RetrainEnd",
    "RetrainResult",
    "TriggerDecision",
    "TriggerReason",
    "WindowRecord",
    "WindowVerdict",
    "Worthwhile",
    "action_for",
    "alert_run",
    "decide_trigger",
    "drifting_since",
    "probe_wait",
    "sentence_for",
    "silent_after",
    "tenure",
    "worthwhile",
]
