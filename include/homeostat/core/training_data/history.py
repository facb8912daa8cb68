"""Join the rows that a model began with and the rows of its prediction log, without doubles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.label_text import label_text, label_texts
from homeostat.core.training_data.categories import as_category, as_label
from homeostat.core.training_data.columns import as_number, as_time


def join_history(
    history: pd.DataFrame, logged: pd.DataFrame, config: ModelConfig
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the rows of both, history first, and how many come from each.

    A double is a logged row that the history has too. It is left out, or the history's row where that has no
    label. Each row of one part is a double of at most one of the other:

    1. the same time, key, features and label; numbers are compared as 32-bit floats
    2. of the rest, the same time, key and features: the history's label counts
    3. with ``schema.key``, of the rest, the same time and key where each part has one such row left

    Equal rows within one part are different rows, so a history may have many rows of one time and no key.
    Classes of the log, which are text there, get the type that they have in the history.

    Parameters
    ----------
    history, logged
        Rows with the columns of model.yaml; ``logged`` has all of them, and a label in every row.

    Returns
    -------
    rows
        Not sorted; ``history`` itself when ``logged`` is empty.
    origins
        How many rows the ``history`` and the ``log`` have, and how many of them are the same (``both``).
    """
    origins = {"history": len(history), "log": len(logged), "both": 0}
    if logged.empty:
        return history, origins
    label = config.columns.label.name
    mine, theirs = find_doubles(history, logged, config)
    has_label = _has_label(history, config)[mine]
    kept = np.delete(np.arange(len(history)), mine[~has_label])
    new = np.delete(np.arange(len(logged)), theirs[has_label])
    added = logged.iloc[new]
    own = config.columns.label  # with classes or a mapping, every spelling is read as its class
    if config.task == "classification" and label in history and not (own.classes or own.mapping):
        added = added.assign(**{label: _with_types_of(history[label], added[label])})
    parts = [part for part in (history.iloc[kept], added) if len(part)]
    return pd.concat(parts, ignore_index=True), {**origins, "both": len(mine)}


def _has_label(history: pd.DataFrame, config: ModelConfig) -> np.ndarray:
    """Return which rows have a label: words and signs for "missing" are none, where they mean that."""
    label = config.columns.label
    if label.name not in history:
        return np.zeros(len(history), dtype=bool)
    read = as_label(history[label.name], config.task, label)
    faulty = np.any([*read.faults.values(), np.zeros(len(history), dtype=bool)], axis=0)
    return np.asarray(read.column.notna().to_numpy(dtype=bool) | faulty)


def find_doubles(
    history: pd.DataFrame, logged: pd.DataFrame, config: ModelConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the same rows in both, as two arrays of equal length.

    See :func:`join_history`.
    """
    time, key, label = config.columns.timestamp, config.columns.key, config.columns.label.name
    named = [time, *([key] if key else []), *config.feature_names]
    row = [name for name in dict.fromkeys(named) if name in history]
    left = _typed(history, [*row, label], config)
    right = _typed(logged, [*row, label], config)
    left = left[left[time].isin(right[time])]  # usually few: the rest costs nothing
    right = right[right[time].isin(left[time])]
    found = []
    for columns in ([*row, label], row):
        found.append(_same_rows(left[columns], right[columns]))
        left = left[~left.index.isin(found[-1]["left"])]
        right = right[~right.index.isin(found[-1]["right"])]
    if key in row:
        found.append(_same_rows(*(_single(part[[time, key]]) for part in (left, right))))
    pairs = pd.concat(found)
    return pairs["left"].to_numpy(), pairs["right"].to_numpy()


def _same_rows(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """Match equal rows by their index: the n-th of each in ``left`` with the n-th in ``right``."""
    numbered = []
    for name, part in (("left", left), ("right", right)):
        row = pd.util.hash_pandas_object(part, index=False)
        numbered.append(pd.DataFrame({"row": row, "n": row.groupby(row).cumcount(), name: part.index}))
    return numbered[0].merge(numbered[1], on=["row", "n"])[["left", "right"]]


def _single(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without missing values that occur once."""
    return rows[rows.notna().all(axis=1) & ~rows.duplicated(keep=False)]


def _typed(rows: pd.DataFrame, names: Sequence[str], config: ModelConfig) -> pd.DataFrame:
    """Return the columns in types in which equal values of both parts are equal."""
    features = config.columns.features
    typed: dict[str, pd.Series] = {}
    for name in names:
        column = rows[name] if name in rows else pd.Series(None, index=rows.index, dtype=object)
        if name == config.columns.timestamp:
            typed[name] = as_time(column, config.columns.timestamp_format).column
        elif (name in features and features[name].type == "number") or (
            name == config.columns.label.name and config.task == "regression"
        ):
            typed[name] = as_number(column).column.astype(np.float32) + np.float32(0)  # -0 is 0
        else:
            typed[name] = as_category(column).column
        if name == config.columns.label.name and config.task == "classification":
            typed[name] = typed[name].map(config.columns.label.to_class).astype("str")
    return pd.DataFrame(typed).reset_index(drop=True)


def _with_types_of(history: pd.Series, classes: pd.Series) -> pd.Series:
    """Return classes, which are text in the log, with the types of the history's labels.

    Where the history has no label to compare with, all classes become numbers if all are whole numbers.
    """
    known = {label_text(value): value for value in history.dropna().unique()}
    texts = label_texts(classes)
    if known:
        numeric = as_label(history.dropna(), "classification").column.dtype.kind in "biuf"
    else:
        numeric = all(isinstance(_whole_number(text), int) for text in texts)
    values = [known[text] if text in known else _whole_number(text) if numeric else text for text in texts]
    return pd.Series(values, index=classes.index)


def _whole_number(text: str | None) -> int | str | None:
    """Return the number that a class is the text of; the class itself where it is none."""
    whole = text is not None and text.removeprefix("-").isdecimal() and str(int(text)) == text
    return int(text) if whole and text is not None else text
