"""Answers of any version to any window, each asked once, and what they were worth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from homeostat.backtest.windows import Stream
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.config.label_text import label_texts

if TYPE_CHECKING:
    from homeostat.bundle.predictor import Predictor


@dataclass(frozen=True, slots=True)
class Said:
    """Answers to labelled rows beside their truth."""

    truth: np.ndarray
    answer: np.ndarray


class Bench:
    """Windows of a stream, and versions by any key that names them.

    Rows that break the contract are left out, as a scoring job would leave them, for every policy alike.
    """

    def __init__(self, config: ModelConfig, stream: Stream) -> None:
        from homeostat.core.training_data import conform

        self.config = config
        self.stream = stream
        self.score_name = "mae" if config.task == "regression" else config.served_metric
        self.rows = conform(stream.rows, config, label=True).rows
        self.inputs = conform(stream.rows, config).rows
        self._bounds = _bounds(self.rows, stream)
        self._input_bounds = _bounds(self.inputs, stream)
        self._predictors: dict[str, Predictor] = {}
        self._said: dict[tuple[str, int], Said] = {}

    @property
    def answerable(self) -> int:
        """Labelled rows in all windows together."""
        return self._bounds[-1] - self._bounds[0]

    def knows(self, key: str) -> bool:
        """Whether a version of this key was put here."""
        return key in self._predictors

    def put(self, key: str, predictor: Predictor) -> None:
        """Put a version here, under a key that names its bytes."""
        self._predictors.setdefault(key, predictor)

    def window(self, number: int) -> pd.DataFrame:
        """A window's labelled rows."""
        return self.rows.iloc[self._bounds[number] : self._bounds[number + 1]]

    def window_inputs(self, number: int) -> pd.DataFrame:
        """A window's rows, with or without labels."""
        return self.inputs.iloc[self._input_bounds[number] : self._input_bounds[number + 1]]

    def said(self, key: str, number: int) -> Said:
        """What a version answers to a window's labelled rows."""
        if (key, number) not in self._said:
            rows = self.window(number).reset_index(drop=True)
            truth = rows[self.config.columns.label.name]
            answer = self._predictors[key].predict(rows).prediction if len(rows) else np.empty(0)
            if self.config.task == "regression":
                found = Said(truth.to_numpy(dtype=np.float64), np.asarray(answer, dtype=np.float64))
            else:
                found = Said(np.array(label_texts(truth), object), np.array(label_texts(answer), object))
            self._said[key, number] = found
        return self._said[key, number]

    def score(self, said: Iterable[Said], metric: str | None = None) -> float | None:
        """The score over all these rows together; None where there is nothing to score."""
        from homeostat.core.performance import score

        parts = list(said)
        truth = np.concatenate([part.truth for part in parts]) if parts else np.empty(0)
        if not len(truth):
            return None
        answer = np.concatenate([part.answer for part in parts])
        try:
            return score(self.config.task, metric or self.score_name, truth, answer)
        except DataError:  # these few rows do not allow it
            return None

    def losses(self, said: Said) -> np.ndarray:
        """What each row cost: 1 for a wrong answer; in regression the absolute error, NaN without one."""
        if self.config.task == "regression":
            return np.asarray(np.abs(said.truth - said.answer))
        return np.asarray(said.truth != said.answer, dtype=np.float64)


def _bounds(rows: pd.DataFrame, stream: Stream) -> list[int]:
    edges = [span.start for span in stream.windows] + [stream.windows[-1].end]
    return [int(at) for at in rows[stream.timestamp].searchsorted(pd.DatetimeIndex(edges))]
