"""Score the subsets of a version's members on rows that none has learnt from, window by window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

import numpy as np
import pandas as pd

from homeostat.bundle.committee import Committee
from homeostat.bundle.inputs import typed_inputs
from homeostat.bundle.predictor import Predictor
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError, PipelineError
from homeostat.config.label_text import label_texts
from homeostat.core.performance import SubsetLosses, mean_by_block, subsets, window_bounds
from homeostat.core.performance.committee_record import BLOCKS, MAX_WINDOWS

#: The first members are chosen by fits at so many windows before the end, on the windows that follow; ...
ORIGINS = (12, 8, 4)
#: ... in a history of fewer windows, by fits on these shares of the rows.
_FEWEST_WINDOWS = 16
_SHARES = (3 / 4, 5 / 6, 11 / 12)

#: Fits every member on these rows; None where one cannot be fitted.
FitAll = Callable[[pd.DataFrame], Committee | None]


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """The losses of all subsets of these members, one entry per window, oldest first.

    ``ageing`` compares fits of the reference with later ones, a dictionary for each window and subset:
    ``end``, ``members`` (joined by +), ``gap`` in windows, ``gain`` in loss and its ``variance``.
    """

    members: tuple[str, ...]
    windows: tuple[SubsetLosses, ...] = ()
    ageing: tuple[Mapping[str, Any], ...] = ()

    def of(self, members: Sequence[str]) -> Self | None:
        """Return the record of some of its members; None where it lacks one of them."""
        if not set(members) <= set(self.members):
            return None
        at = [self.members.index(name) for name in members]
        all_subsets = subsets(len(self.members))
        rows = [all_subsets.index(tuple(sorted(at[n] for n in each))) for each in subsets(len(members))]
        windows = tuple(replace(each, blocks=each.blocks[rows]) for each in self.windows)
        return replace(self, members=tuple(members), windows=windows)

    def add(self, windows: Sequence[SubsetLosses]) -> Self:
        """Return the record with newer windows."""
        return replace(self, windows=(*self.windows, *windows)[-MAX_WINDOWS:])

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "members": list(self.members),
            "windows": [each.to_json() for each in self.windows],
            "ageing": [dict(each) for each in self.ageing],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` returned."""
        windows = tuple(SubsetLosses.from_json(each) for each in data["windows"])
        return cls(tuple(data["members"]), windows, tuple(data.get("ageing", ())))


def subset_losses(
    config: ModelConfig, committee: Committee, predictor: Predictor, rows: pd.DataFrame
) -> np.ndarray:
    """Return the loss of each row by each subset of the members, shape (subsets, rows).

    It is 0 or 1 for classes, where a missing prediction is wrong, and the absolute error of numbers.

    Parameters
    ----------
    predictor
        Says how the members' inputs are made; of the same bundle as ``committee``.
    rows
        Labelled rows.
    """
    if not rows.shape[0]:
        return np.empty((len(subsets(len(committee.members))), 0))
    inputs = typed_inputs(
        rows, dict(predictor.kinds), as_matrix=predictor.as_matrix, spelling=predictor.spelling
    )
    outputs = committee.outputs(inputs)
    label = rows[config.columns.label.name]
    chosen = [[outputs[n] for n in each] for each in subsets(len(outputs))]
    if committee.classes_ is None:
        truth = label.to_numpy(dtype=np.float64)
        return np.stack([np.abs(committee.decide(each) - truth) for each in chosen])
    codes, values = pd.factorize(label)
    known = {text: n for n, text in enumerate(label_texts(committee.classes_))}
    positions = np.array([known.get(text, -2) for text in label_texts(values)] + [-2])[codes]
    return np.stack([committee.positions(each) != positions for each in chosen]).astype(np.float64)


def score_windows(
    config: ModelConfig, predictor: Predictor, rows: pd.DataFrame, window_rows: int
) -> list[SubsetLosses]:
    """Return the losses in each window of these rows, which the members have not learnt from.

    Parameters
    ----------
    predictor
        Of a :class:`Committee`.
    rows
        Labelled rows in time order.
    """
    losses = subset_losses(config, predictor.estimator, predictor, rows)
    moments = rows[config.columns.timestamp]
    return [
        SubsetLosses(_moment(moments, end), mean_by_block(losses[:, start:end]))
        for start, end in window_bounds(len(rows), window_rows)
    ]


def reference_record(
    config: ModelConfig, rows: pd.DataFrame, names: Sequence[str], window_rows: int, fit_all: FitAll
) -> MemberRecord:
    """Return the record of fits at three times within these rows, each scored on the rows after it.

    A window's losses are the mean over the fits before it. Without the rows for that, the record is empty.

    Parameters
    ----------
    rows
        All rows that the first version learns from, in time order.
    names
        Of the members, in the order of ``fit_all``'s committees.
    """
    edges, origins = _reference_windows(len(rows), window_rows)
    moments = rows[config.columns.timestamp]
    edges = [int(moments.searchsorted(moments.iloc[at])) if at < len(rows) else at for at in edges]
    sizes = np.diff(edges)
    if not len(sizes) or sizes.min() < BLOCKS:
        return MemberRecord(tuple(names))
    found: list[dict[int, np.ndarray]] = [{} for _ in sizes]  # by window, blocks by origin
    for origin in origins:
        later = rows.iloc[edges[origin] :]
        try:
            committee = fit_all(rows.iloc[: edges[origin]])
            if committee is None:
                continue
            losses = subset_losses(config, committee, Predictor.of(config, committee), later)
        except (DataError, PipelineError):
            continue  # too few rows, or one class, so far back
        for window in range(origin, len(sizes)):
            part = slice(edges[window] - edges[origin], edges[window + 1] - edges[origin])
            found[window][origin] = mean_by_block(losses[:, part])
    windows = [
        SubsetLosses(_moment(moments, edges[n + 1]), np.mean(list(by_origin.values()), axis=0))
        for n, by_origin in enumerate(found)
        if by_origin
    ]
    gap_unit = float(np.median(sizes)) / window_rows
    return MemberRecord(tuple(names), tuple(windows), tuple(_ageing(names, found, moments, edges, gap_unit)))


def _reference_windows(rows: int, window_rows: int) -> tuple[list[int], list[int]]:
    """Return the bounds of the windows, and before which of them fits are made."""
    if rows >= _FEWEST_WINDOWS * window_rows:
        first = ORIGINS[0]
        return (
            [rows - n * window_rows for n in range(first, -1, -1)],
            [first - each for each in ORIGINS],
        )
    return [*(int(rows * share) for share in _SHARES), rows], [0, 1, 2]


def _ageing(
    names: Sequence[str],
    found: Sequence[Mapping[int, np.ndarray]],
    moments: pd.Series,
    edges: Sequence[int],
    gap_unit: float,
) -> list[dict[str, Any]]:
    """Compare in each window the newest fits with the mean over the older ones."""
    result = []
    for window, by_origin in enumerate(found):
        if len(by_origin) < 2:
            continue
        *older, newest = sorted(by_origin)
        gaps = np.stack([by_origin[each] - by_origin[newest] for each in older])  # origin x subset x block
        gain = gaps.mean(axis=(0, 2))
        variance = (gaps.var(axis=2, ddof=1) / BLOCKS).mean(axis=0)
        result += [
            {
                "end": _moment(moments, edges[window + 1]).isoformat(),
                "members": "+".join(names[n] for n in each),
                "gap": float(newest - np.mean(older)) * gap_unit,
                "gain": float(gain[n_subset]),
                "variance": float(variance[n_subset]),
            }
            for n_subset, each in enumerate(subsets(len(names)))
        ]
    return result


def _moment(moments: pd.Series, end: int) -> datetime:
    """Return the time of the last of the rows before position ``end``."""
    moment: datetime = moments.iloc[end - 1].to_pydatetime()
    return moment
