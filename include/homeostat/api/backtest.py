"""Replay a model's history: when it would have been retrained, and how good its predictions were."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.api.tables import Data, as_arrow
from homeostat.config.extras import optional_libraries

if TYPE_CHECKING:
    from homeostat.backtesting import BacktestResult


@dataclass(frozen=True, slots=True)
class Backtest:
    """The policies on the same windows of one history.

    Attributes
    ----------
    score_name
        The metric, such as ``accuracy``.
    scores
        Each policy's score over all rows of all windows; None where it cannot be computed. ``homeostat`` is
        the model as configured, ``frozen`` is never retrained.
    summary
        The result in sentences, the recommendation first.
    notes
        What to know before trusting the figures.
    """

    score_name: str
    scores: Mapping[str, float | None]
    summary: Sequence[str]
    notes: Sequence[str]
    _result: BacktestResult = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, as ``homeostat backtest --json`` prints it; docs/backtest.md lists the keys."""
        from homeostat.backtesting import to_json

        return to_json(self._result)

    def to_html(self) -> str:
        """Return a page with a picture that loads nothing else."""
        from homeostat.cli.commands.backtest_page import render_page

        with optional_libraries():
            return render_page(self._result)


def backtest(
    model: str | PathLike[str],
    data: Data | None = None,
    *,
    windows: str = "",
    reference_share: float = 0.3,
    compare: Sequence[str] = (),
    cost: float | None = None,
    jobs: int | None = 1,
) -> Backtest:
    """Replay a model's history under five policies, in memory. Needs the extra ``train``.

    Parameters
    ----------
    model
        The model's folder, with its model.yaml.
    data
        The model's history with labels; see :func:`homeostat.drift`. Default: the model's own source.
    windows
        A window's length, such as ``7d`` or ``168rows``. Default: ``monitor.window``.
    reference_share
        Share of the rows that the first version is trained on.
    compare
        Policies of the literature to run beside: ``tuned_period``, ``cara``, ``upf``, ``cusum``.
    cost
        What a retrain may cost, in points of the metric over one window. Default: 0.005.
    jobs
        Processes that fit versions; the result is the same. A script that asks for more than one needs
        ``if __name__ == "__main__":``.

    Raises
    ------
    HomeostatError
        The model or its history cannot be used; the message says how to fix it.
    """
    from homeostat.cli.commands.backtest import replay_history
    from homeostat.config import load_model

    config = load_model(Path(model))
    with tempfile.TemporaryDirectory(prefix="homeostat-") as folder, optional_libraries():
        path = data if data is None or isinstance(data, str | PathLike) else _written(data, Path(folder))
        result, _ = replay_history(
            config,
            None if path is None else str(path),
            windows=windows,
            reference_share=reference_share,
            compare=",".join(compare),
            cost=cost,
            jobs=jobs,
        )
    from homeostat.backtesting import summarize

    scores = {name: outcome.score for name, outcome in result.outcomes.items()}
    return Backtest(result.score_name, scores, summarize(result), result.notes, result)


def _written(data: Data, folder: Path) -> Path:
    import pyarrow.parquet as pq

    path = folder / "data.parquet"
    pq.write_table(as_arrow(data, "data"), path)
    return path
