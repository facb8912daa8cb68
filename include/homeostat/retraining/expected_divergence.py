"""How often candidate and champion disagree before the rollout: what its shadow should see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.label_text import label_texts
from homeostat.core.rollout import HOLDOUT, RECENT, EvidenceRecorder, LabelFacts, Tally, differ
from homeostat.core.rollout.evidence_recorder import prediction_bins
from homeostat.ports import Ports
from homeostat.storage.prediction_log import read_predictions

if TYPE_CHECKING:
    from homeostat.bundle.files import Bundle

#: The newest logged rows that are compared, and how far back the log is read for them.
RECENT_ROWS, RECENT_SPAN = 2000, timedelta(days=30)


def label_facts(config: ModelConfig, holdout: pd.DataFrame) -> LabelFacts:
    """Return what the holdout's labels say: their standard deviation, or the share of each class."""
    labels = holdout[config.columns.label.name].dropna()
    if config.task == "regression":
        spread = float(np.std(labels.to_numpy(np.float64))) if len(labels) else 0.0
        return LabelFacts(spread=spread or None)
    shares = pd.Series(label_texts(labels)).value_counts(normalize=True).sort_index()
    return LabelFacts(class_shares=tuple((str(name), float(share)) for name, share in shares.items()))


def expected_divergence(
    config: ModelConfig,
    ports: Ports,
    versions: Sequence[Bundle],
    champion: Bundle,
    holdout: pd.DataFrame,
    *,
    known_until: datetime,
) -> dict[str, Any]:
    """Compare the candidate's predictions with the champion's, on the holdout and on recent requests.

    Recent requests are the better expectation: they are today's inputs, and neither version has seen them.
    They need no labels. On the holdout the larger disagreement of ``versions`` counts, since none of them is
    without fault there: one was fitted without the newest rows, the other on these very rows.

    Parameters
    ----------
    versions
        The candidate as it will be served, first, and its fit without the holdout.
    known_until
        Logged rows before this time may be among the candidate's training rows.

    Returns
    -------
    dict
        Per stage of the evidence (``holdout``, ``recent``) a tally as plain JSON.
    """
    served = versions[0]
    spread = label_facts(config, holdout).spread if config.task == "regression" else None
    on_holdout = [
        count_disagreement(config, served, version, champion, holdout, spread) for version in versions
    ]
    found = {HOLDOUT[0]: max(on_holdout, key=lambda tally: tally.diverged).to_json()}
    if config.serve == "gateway":
        recent = _recent_rows(config, ports, known_until)
        if len(recent):
            found[RECENT[0]] = count_disagreement(config, served, served, champion, recent, spread).to_json()
    return found


def count_disagreement(
    config: ModelConfig,
    served: Bundle,
    version: Bundle,
    champion: Bundle,
    rows: pd.DataFrame,
    spread: float | None,
) -> Tally:
    """Count as a gateway does in shadow: on the prediction bins of the candidate that is served."""
    mine, theirs = (bundle.predictor.predict(rows).prediction.tolist() for bundle in (version, champion))
    if config.task == "classification":
        mine, theirs = label_texts(mine), label_texts(theirs)
    recorder = EvidenceRecorder(prediction_bins(served.reference))
    flags = [differ(a, b, spread) for a, b in zip(mine, theirs, strict=True)]
    recorder.record_comparison(*HOLDOUT, flags, theirs)
    return recorder.drain()[HOLDOUT]


def _recent_rows(config: ModelConfig, ports: Ports, known_until: datetime) -> pd.DataFrame:
    """Return the inputs of the newest logged rows from ``known_until`` on, at most :data:`RECENT_ROWS`.

    Hours, then longer and longer spans are read, so that a busy model's log is not read in full.
    """
    found: list[pd.DataFrame] = []
    end, length = ports.clock.now(), timedelta(hours=1)
    oldest = max(known_until, end - RECENT_SPAN)
    while oldest < end and sum(map(len, found)) < RECENT_ROWS:
        start = max(oldest, end - length)
        found.append(read_predictions(ports.store, config, start, end).rows)
        end, length = start, 2 * length  # few rows came: read more at once
    rows = pd.concat(reversed(found), ignore_index=True) if found else pd.DataFrame()
    return rows.tail(RECENT_ROWS).reset_index(drop=True)
