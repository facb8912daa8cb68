"""Every outcome of the trigger: a word for programs and a sentence for people.

docs/reasons.md explains each word; tests/docs/test_reasons.py compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class TriggerReason(StrEnum):
    """Why a window fired, or why it did not. The values are stored in the history and in MLflow tags."""

    # It fires.
    FORMER_VERSION_FITS = "former_version_fits"
    PERFORMANCE_DECAY_CRITICAL = "performance_decay_critical"
    PERFORMANCE_DECAY = "performance_decay"
    SUSTAINED_DECAY = "sustained_decay"
    SLICE_DECAY = "slice_decay"
    RETRAINING_PAYS = "retraining_pays"
    HARMFUL_DRIFT = "harmful_drift"
    SUSTAINED_DRIFT = "sustained_drift"
    BELOW_BEST = "below_best"
    PROBE_DUE = "probe_due"
    # It would fire, and something holds it back.
    BEFORE_PROMOTION = "before_promotion"
    COOLDOWN_ACTIVE = "cooldown_active"
    SAME_EPISODE = "same_episode"
    TOO_EARLY = "too_early"
    BACKING_OFF = "backing_off"
    RETRAIN_UNDER_WAY = "retrain_under_way"
    # There is nothing to fire for.
    HARMLESS_DRIFT = "harmless_drift"
    BUILDING = "building"
    WITHIN_TOLERANCE = "within_tolerance"
    LABELS_PENDING = "labels_pending"
    NO_EVIDENCE = "no_evidence"


#: The sentence of each reason; :func:`sentence_for` fills in the values.
SENTENCES: Mapping[TriggerReason, str] = {
    TriggerReason.FORMER_VERSION_FITS: (
        "Version {version}, a former champion, predicts the latest labelled rows better than the champion."
    ),
    TriggerReason.PERFORMANCE_DECAY_CRITICAL: (
        "Decay {decay:.3f} reached trigger.critical_decay ({limit:g})."
    ),
    TriggerReason.PERFORMANCE_DECAY: (
        "Decay {decay:.3f} reached trigger.decay ({limit:g}) and is statistically significant."
    ),
    TriggerReason.SUSTAINED_DECAY: (
        "Decay above trigger.decay lasted {windows}; trigger.consecutive is {consecutive}."
    ),
    TriggerReason.SLICE_DECAY: (
        "Predictions have become significantly worse, by trigger.decay ({limit:g}) or more, in {slices}, "
        "though not in the whole."
    ),
    TriggerReason.RETRAINING_PAYS: "By the record of ageing, a retrain pays.",
    TriggerReason.HARMFUL_DRIFT: (
        "Drift lasted {windows} (trigger.consecutive is {consecutive}), and predictions have become worse."
    ),
    TriggerReason.SUSTAINED_DRIFT: (
        "Drift lasted {windows} (trigger.consecutive is {consecutive}); "
        "whether predictions have become worse is unknown."
    ),
    TriggerReason.BELOW_BEST: (
        "The version meets its own baseline, but is worse by trigger.decay ({limit:g}) or more than the best "
        "of the last champions."
    ),
    TriggerReason.PROBE_DUE: (
        "The champion has not learned the labels of {unlearned:.3g} windows: a probe tries whether a retrain "
        "pays."
    ),
    TriggerReason.BEFORE_PROMOTION: "The window ended before the promotion at {promoted_at:%F %R} UTC.",
    TriggerReason.COOLDOWN_ACTIVE: (
        "The window that ended at {fired_at:%F %R} UTC fired: in cooldown until {until:%F %R} UTC "
        "(trigger.cooldown)."
    ),
    TriggerReason.SAME_EPISODE: (
        "The window that ended at {fired_at:%F %R} UTC has fired for this episode already. With "
        "trigger.cooldown 0, the next fire needs a window without alerts or a promotion first."
    ),
    TriggerReason.TOO_EARLY: "{outcome}. The next retrain may start from {until:%F %R} UTC.",
    TriggerReason.BACKING_OFF: "{outcome}. The next retrain may start from {until:%F %R} UTC.",
    TriggerReason.RETRAIN_UNDER_WAY: "Retrain {holder} is already running.",
    TriggerReason.HARMLESS_DRIFT: ("Drift lasted {windows}, but predictions have not become worse."),
    TriggerReason.BUILDING: "{run} of {consecutive} windows in a row (trigger.consecutive) alert so far.",
    TriggerReason.WITHIN_TOLERANCE: "Drift and performance are within tolerance.",
    TriggerReason.LABELS_PENDING: "No alert, and labels have not arrived: performance is unknown.",
    TriggerReason.NO_EVIDENCE: "The window could not be computed: neither an alert nor a pass.",
}


def sentence_for(reason: TriggerReason, **values: object) -> str:
    """Return the reason's sentence with its values filled in; ``run`` is a number of windows."""
    run = values.get("run")
    windows = "1 window" if run == 1 else f"{run} windows in a row"
    return SENTENCES[reason].format(windows=windows, **values)


#: What a person does about a reason; a reason that is not here needs nothing.
_ACTIONS: Mapping[TriggerReason, str] = {
    TriggerReason.PERFORMANCE_DECAY_CRITICAL: (
        "Follow retrain__{model}. If the gate refuses the candidate too, look for broken data: the contract"
        " findings of this check name the columns."
    ),
    TriggerReason.SLICE_DECAY: (
        "Follow retrain__{model}: its gate compares the slice, too. If the slice comes from a broken data"
        " source, mend the source: a retrain cannot."
    ),
    TriggerReason.HARMFUL_DRIFT: (
        "Follow retrain__{model}. If a drifted feature comes from a broken data source, mend the source: a"
        " retrain cannot."
    ),
    TriggerReason.SUSTAINED_DRIFT: (
        "Follow retrain__{model}. Send labels, so that the next check knows whether predictions became worse."
    ),
    TriggerReason.BACKING_OFF: (
        "Read in the last runs of retrain__{model} in Airflow why they brought nothing, and mend that. To"
        " retrain anyway, start one there or run: homeostat retrain {model}"
    ),
    TriggerReason.HARMLESS_DRIFT: ("Nothing, unless a data source is broken: look at the drifted features."),
    TriggerReason.NO_EVIDENCE: (
        "Check that requests reach the gateway and that its prediction log is written; monitor.min_rows sets"
        " how many rows a window needs."
    ),
}


def action_for(reason: TriggerReason, model: str) -> str:
    """Return what a person does about a decision of this reason."""
    return _ACTIONS.get(reason, "Nothing.").format(model=model)
