"""What the champion's own confidence says of a window whose labels are still to come."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pandas as pd

from homeostat.config.errors import NotFound
from homeostat.config.label_text import label_texts
from homeostat.core.performance import BATCHES, Estimate, abstain, estimate
from homeostat.core.profile import Counts, Outcomes, Profile
from homeostat.monitoring.window import Looked


def estimated(looked: Looked, answers: Profile, labelled: pd.DataFrame, end: datetime) -> Estimate:
    """Estimate the accuracy of a window's answers, or abstain with a reason.

    Parameters
    ----------
    answers
        The window's rows that the champion answered.
    labelled
        Rows of the newest step whose labels should be there. They are counted by confidence and the counts
        kept in the Store, so that the last ten steps together can contradict the estimate.
    """
    holdout, confidence = looked.reference.outcomes, answers.features.get("confidence")
    if looked.config.task == "regression":
        return abstain("a regression gives no confidence to estimate from", rows=answers.rows)
    if confidence is None:
        return abstain("this model gives no probabilities to estimate from", rows=answers.rows)
    if holdout is None:
        return abstain(
            f"version {looked.champion.version} was registered without its holdout's right and wrong "
            "answers: the next one will have them",
            rows=answers.rows,
        )
    return estimate(holdout, confidence, labelled=_batches(looked, confidence, labelled, end))


def _batches(looked: Looked, shape: Counts, labelled: pd.DataFrame, end: datetime) -> list[Outcomes]:
    """The last labelled steps, oldest first."""
    store, every = looked.ports.store, looked.config.monitor.every
    folder = f"outcomes/{looked.config.name}/{looked.champion.digest[:16]}"
    found: list[Outcomes] = []
    for steps in range(BATCHES - 1, 0, -1):
        try:
            kept = store.get(f"{folder}/{end - steps * every:%Y-%m-%dT%H%M%S}.json")
        except NotFound:
            continue
        found.append(Outcomes.from_body(json.loads(kept), shape.frame))
    if len(labelled):
        truth = np.array(label_texts(labelled[looked.config.columns.label.name]), object)
        said = np.array(label_texts(labelled["_prediction"]), object)
        newest = Outcomes.of(shape.frame, labelled["_confidence"], truth == said)
        text = json.dumps(newest.to_body()).encode()
        store.put(f"{folder}/{end:%Y-%m-%dT%H%M%S}.json", text, overwrite=True)
        found.append(newest)
    return found
