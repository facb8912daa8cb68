"""Accuracy of a window whose labels are still to come, from the champion's own confidence."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pandas as pd

from homeostat.config.errors import NotFound
from homeostat.config.label_text import label_texts
from homeostat.core.performance import BATCHES, AbstainReason, Estimate, NotComputable, abstain, estimate
from homeostat.core.profile import CalibrationCounts, FeatureCounts, Profile
from homeostat.monitoring.context import CheckContext


def estimate_accuracy(
    context: CheckContext, predicted: Profile, labelled: pd.DataFrame, end: datetime
) -> Estimate:
    """Estimate the accuracy of a window's predictions, or abstain with a reason.

    Parameters
    ----------
    predicted
        The window's rows that the champion predicted.
    labelled
        Rows of the newest step whose labels are due. They are counted by confidence and the counts kept in
        the Store, so that the last ten steps together can contradict the estimate.
    """
    holdout, confidence = context.reference.calibration, predicted.features.get("confidence")
    if context.config.task == "regression":
        return abstain(NotComputable.of(AbstainReason.REGRESSION_MODEL), rows=predicted.rows)
    if confidence is None:
        return abstain(NotComputable.of(AbstainReason.NO_PROBABILITIES), rows=predicted.rows)
    if holdout is None:
        return abstain(
            NotComputable.of(AbstainReason.NO_CALIBRATION_COUNTS, version=context.champion.version),
            rows=predicted.rows,
        )
    return estimate(holdout, confidence, labelled=_batches(context, confidence, labelled, end))


def _batches(
    context: CheckContext, confidence: FeatureCounts, labelled: pd.DataFrame, end: datetime
) -> list[CalibrationCounts]:
    """Return the counts of the last labelled steps, oldest first; store those of the newest."""
    store, every = context.ports.store, context.config.monitor.every
    folder = f"outcomes/{context.config.name}/{context.champion.digest[:16]}"
    found: list[CalibrationCounts] = []
    for steps in range(BATCHES - 1, 0, -1):
        try:
            kept = store.get(f"{folder}/{end - steps * every:%Y-%m-%dT%H%M%S}.json")
        except NotFound:
            continue
        found.append(CalibrationCounts.from_body(json.loads(kept), confidence.edges))
    if len(labelled):
        truth = np.array(label_texts(labelled[context.config.columns.label.name]), object)
        predicted = np.array(label_texts(labelled["_prediction"]), object)
        newest = CalibrationCounts.from_rows(confidence.edges, labelled["_confidence"], truth == predicted)
        text = json.dumps(newest.to_body()).encode()
        store.put(f"{folder}/{end:%Y-%m-%dT%H%M%S}.json", text, overwrite=True)
        found.append(newest)
    return found
