"""Whether a promotion did good or harm: the new version beside what the one before would have answered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from homeostat.backtest.policy_run import Played
from homeostat.backtest.prediction_cache import Bench
from homeostat.backtest.windows import Span

Verdict = Literal["better", "worse", "no_difference", "not_computable"]
#: Standard errors of the mean difference from which on it is called one.
SURE = 2.0
#: Fewer rows say nothing.
MIN_ROWS = 30


@dataclass(frozen=True, slots=True)
class Judged:
    """One promotion, over the windows that its version served.

    ``score_before`` is what the version before would have scored on the same rows. ``verdict`` is that of
    a paired test, row by row: a difference within two standard errors is none.
    """

    span: Span
    version: str
    before: str
    rows: int
    score: float | None
    score_before: float | None
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "at": self.span.last.isoformat(),
            "version": self.version,
            "before": self.before,
            "rows": self.rows,
            "score": self.score,
            "score_before": self.score_before,
            "verdict": self.verdict,
        }


def judge_promotions(played: Played, bench: Bench) -> list[Judged]:
    """Every promotion of a run, in order."""
    windows = bench.stream.windows
    ends = [later.number for later in played.promotions[1:]] + [windows[-1].number] * bool(played.promotions)
    found = []
    for promotion, last in zip(played.promotions, ends, strict=True):
        numbers = range(promotion.number + 1, last + 1)
        mine = [bench.said(promotion.new, number) for number in numbers]
        theirs = [bench.said(promotion.old, number) for number in numbers]
        lost = [bench.losses(a) - bench.losses(b) for a, b in zip(mine, theirs, strict=True)]
        found.append(
            Judged(
                span=windows[promotion.number],
                version=promotion.new_version,
                before=promotion.old_version,
                rows=sum(len(part.truth) for part in mine),
                score=bench.score(mine),
                score_before=bench.score(theirs),
                verdict=_verdict(np.concatenate(lost) if lost else np.empty(0)),
            )
        )
    return found


def _verdict(lost: np.ndarray) -> Verdict:
    """``lost`` is what each row cost more with the new version."""
    lost = lost[np.isfinite(lost)]
    if len(lost) < MIN_ROWS:
        return "not_computable"
    mean, error = float(lost.mean()), float(lost.std()) / math.sqrt(len(lost))
    if abs(mean) <= SURE * error:
        return "no_difference"
    return "worse" if mean > 0 else "better"
