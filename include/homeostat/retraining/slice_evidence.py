"""What the holdout shows of slices: scores to compare, those that decayed, and baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.core.performance import row_losses
from homeostat.core.profile import MIN_SLICE_ROWS
from homeostat.core.profile.coerce import Ints
from homeostat.core.slices import SliceBaseline
from homeostat.core.trigger import TriggerReason
from homeostat.ports import Ports
from homeostat.retraining.drop_error import drop_error
from homeostat.storage.bundles import load_reference
from homeostat.storage.check_records import find_check
from homeostat.storage.retrain_request import load_request
from homeostat.storage.trigger_outcomes import window_of_trigger
from homeostat.storage.version_info import SLICE_LOSSES

if TYPE_CHECKING:
    from homeostat.bundle.evaluate import Evaluation
    from homeostat.bundle.files import Bundle


@dataclass(frozen=True, slots=True)
class HoldoutSlices:
    """The holdout's row positions by slice.

    ``compared`` are the gate's slices, ``watched`` those that the candidate will be monitored by, and
    ``decayed`` those of the champion that started the retrain.
    """

    holdout: pd.DataFrame
    compared: Mapping[str, Ints]
    watched: Mapping[str, Ints]
    decayed: Mapping[str, Ints]

    @classmethod
    def of(
        cls, config: ModelConfig, ports: Ports, run_key: str, holdout: pd.DataFrame, candidate: Bundle
    ) -> HoldoutSlices:
        """Divide the holdout: by ``gate.slices``, by the candidate's slices and by the champion's."""
        from homeostat.bundle.slice_scores import slices_of

        own = candidate.reference.slices if config.monitor.slices else None
        watched = own.slices.positions(holdout) if own else {}
        compared = watched if config.gate.slices is None else slices_of(config, holdout)
        return cls(holdout, compared, watched, _decayed(config, ports, run_key, holdout))

    def evidence(self, config: ModelConfig, mine: Evaluation, theirs: Evaluation | None) -> dict[str, Any]:
        """Return ``slice_errors`` and ``decayed_slices`` of :class:`homeostat.core.gate.GateEvidence`."""
        if theirs is None:
            return {}
        both = mine.slices.keys() & theirs.slices.keys() if config.gate.slices is None else ()
        return {
            "slice_errors": {
                name: drop_error(config, mine, theirs, self.compared[name]) for name in sorted(both)
            },
            "decayed_slices": {
                name: {
                    "rows": len(at),
                    "candidate": self._score(config, mine, at),
                    "champion": self._score(config, theirs, at),
                }
                for name, at in self.decayed.items()
            },
        }

    def baselines(self, config: ModelConfig, mine: Evaluation) -> dict[str, Any]:
        """Return the losses of each watched slice, for what is stored about the version; {} without any."""
        if not self.watched:
            return {}
        losses = row_losses(config, mine.predicted, self.holdout)
        found = {name: SliceBaseline.of(losses[at]).to_json() for name, at in self.watched.items()}
        return {SLICE_LOSSES: found}

    def _score(self, config: ModelConfig, evaluated: Evaluation, at: Ints) -> float | None:
        """Return accuracy or mean absolute error of some rows; None for too few."""
        if len(at) < MIN_SLICE_ROWS:
            return None
        mean = float(np.nanmean(row_losses(config, evaluated.predicted, self.holdout)[at]))
        return 1.0 - mean if config.task == "classification" else mean


def _decayed(config: ModelConfig, ports: Ports, run_key: str, holdout: pd.DataFrame) -> dict[str, Ints]:
    """Return the rows of the slices whose decay started this retrain, by the champion's own definition."""
    request = load_request(ports.store, config.name, run_key)
    champion = ports.ledger.read(config.name).champion
    end = window_of_trigger(config.name, request.trigger_id)
    if request.reason != TriggerReason.SLICE_DECAY or champion is None or end is None:
        return {}
    check = find_check(ports.store, config.name, end)
    own = load_reference(ports, config.name, champion.digest).slices
    if check is None or check.record is None or own is None:
        return {}
    positions = own.slices.positions(holdout)
    return {name: positions[name] for name in check.record.decayed_slices if name in positions}
