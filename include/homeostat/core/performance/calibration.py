"""What a confidence is worth: the share of right answers at each, learnt from the holdout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.stats import beta

from homeostat.core.profile import Counts, NumberFrame, Outcomes

Ints = npt.NDArray[np.int64]

#: Neighbouring slots are taken together into cells of at least so many holdout rows, ...
CELL_ROWS = 25
#: ... and into at most so many of them.
MAX_CELLS = 64
_GROUPS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Isotonic regression of "was right" on the confidence, as blocks of slots.

    ``cell`` and ``block`` give the cell and the block of each slot; ``right`` and ``rows`` are the holdout's
    answers in each block. Accuracy never falls from one block to the next.
    """

    outcomes: Outcomes
    cell: Ints
    block: Ints
    right: Ints
    rows: Ints

    def expect(self, window: Counts, level: float, dispersion: float = 1.0) -> tuple[float, float, float]:
        """Accuracy of a window's answers, and the interval that holds what their labels will show.

        With S[b] the window's share of block b, r[b] of n[b] holdout answers right there, m answers in
        the window and p[b] = (r[b] + 1/2) / (n[b] + 1):

        - the estimate is ``sum_b S[b] * r[b] / n[b]``;
        - its variance ``sum_b S[b]^2 p[b] (1 - p[b]) / n[b]`` (the calibration's, by the delta method)
          ``+ sum_b S[b] p[b] (1 - p[b]) / m`` (what these m answers happen to be), times ``dispersion``;
        - the interval is that of the beta distribution with mean ``sum_b S[b] p[b]`` and this variance,
          which stays within 0 and 1.

        Rows are taken for independent and blocks for known. Of simulated intervals at 95 % (holdouts of 300
        to 5000 rows, windows of 100 to 2000, moved either way) 95 % hold on average, the worst 91 %.
        """
        value, mean, variance = self._moments(window)
        weight = max(mean * (1 - mean) / (variance * dispersion) - 1, 1.0)
        tail = (1 - level) / 2
        low, high = (float(beta.ppf(at, mean * weight, (1 - mean) * weight)) for at in (tail, 1 - tail))
        return value, min(low, value), max(high, value)

    def dispersion(self, labelled: Sequence[Outcomes]) -> float:
        """How much more batches vary than independent rows would: mean squared gap over its variance, from 1.

        Neighbouring rows of a stream are alike, and right or wrong together. P. McCullagh and J. Nelder,
        "Generalized Linear Models" (1989), section 4.5. Without batches 1.
        """
        squared = []
        for batch in labelled:
            value, _, variance = self._moments(batch.both)
            squared.append((batch.right.placed / batch.rows - value) ** 2 / variance)
        return max(1.0, float(np.mean(squared))) if squared else 1.0

    def _moments(self, window: Counts) -> tuple[float, float, float]:
        share = np.bincount(self.block, window.slots, len(self.rows)) / window.placed
        p = (self.right + 0.5) / (self.rows + 1)
        spread = p * (1 - p)
        variance = float(share**2 @ (spread / self.rows) + share @ spread / window.placed)
        return float(share @ (self.right / self.rows)), float(share @ p), variance

    def effective_rows(self, window: Counts) -> float:
        """As many holdout rows as the estimate rests on: ``1 / sum_c S[c]^2 / n[c]`` over cells (L. Kish)."""
        held = np.bincount(self.cell, self.outcomes.both.slots)
        share = np.bincount(self.cell, window.slots, len(held)) / window.placed
        return float(1 / (share**2 @ (1 / held)))

    def distance(self, window: Counts) -> float:
        """How far the window's confidences lie from the holdout's in the same cell, at most, on average."""
        frame = window.frame
        if not isinstance(frame, NumberFrame) or not frame.edges:
            return 1.0
        ends = np.repeat(np.asarray(frame.edges), 2)
        low, high = np.r_[ends[0], ends], np.r_[ends, ends[-1]]  # slot 2i from edge i - 1 to i, 2i + 1 at i
        middle, held = (low + high) / 2, self.outcomes.both.slots
        centre = np.bincount(self.cell, held * middle) / np.bincount(self.cell, held)
        apart = np.abs(middle - centre[self.cell]) + (high - low) / 2
        return float(window.slots @ apart / window.placed)

    def error(self) -> float:
        """What recalibration leaves: root mean square over tenths of the holdout, chance taken off.

        A. Kumar, P. Liang and T. Ma, "Verified uncertainty calibration" (2019), the debiased estimate.
        Isotonic regression mends probabilities that are too large or too small; what is left is
        accuracy that falls where the confidence rises.
        """
        both = self.outcomes.both.slots
        tenth = groups(both, _GROUPS)
        n, right = np.bincount(tenth, both), np.bincount(tenth, self.outcomes.right.slots)
        fitted = np.bincount(tenth, both * (self.right / self.rows)[self.block]) / n
        p = (right + 0.5) / (n + 1)
        squared = (right / n - fitted) ** 2 - p * (1 - p) / n
        return float(np.sqrt(max(0.0, float(n @ squared) / both.sum())))


def calibrate(outcomes: Outcomes) -> Calibration:
    """Fit the share of right answers, rising with the confidence (pool adjacent violators).

    B. Zadrozny and C. Elkan, "Transforming classifier scores into accurate multiclass probability
    estimates" (2002). Needs at least one labelled answer.
    """
    both = outcomes.both.slots
    cell = groups(both, int(np.clip(both.sum() // CELL_ROWS, 1, MAX_CELLS)))
    rows, right = np.bincount(cell, both), np.bincount(cell, outcomes.right.slots)
    fit = isotonic_regression(right / rows, weights=rows)
    block = np.repeat(np.arange(len(fit.blocks) - 1), np.diff(fit.blocks))
    in_block = [np.bincount(block, n).astype(np.int64) for n in (right, rows)]
    return Calibration(outcomes, cell, block[cell], *in_block)


def groups(counts: Ints, most: int) -> Ints:
    """Neighbouring slots as at most so many groups of about equal rows, none empty; shape of ``counts``."""
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    group = np.minimum((middle * most).astype(np.int64), most - 1)
    kept = np.unique(group[counts > 0])  # an empty slot goes with the nearest group below, or the first
    return np.asarray(np.maximum(np.searchsorted(kept, group, side="right") - 1, 0))


def separation(outcomes: Outcomes) -> tuple[float, float]:
    """Chance that a right answer was given with more confidence than a wrong one, and its z-score.

    The area under the curve of Mann and Whitney; ties count half, and make z err on the quiet side.
    Needs a right and a wrong answer.
    """
    right, wrong = outcomes.right.slots, outcomes.wrong.slots
    r, w = int(right.sum()), int(wrong.sum())
    area = float(right @ (np.cumsum(wrong) - wrong / 2)) / (r * w)
    return area, (area - 0.5) / float(np.sqrt((r + w + 1) / (12 * r * w)))
