"""Find features that only hold the label in other words, or only count time."""

from __future__ import annotations

import numpy as np
import pandas as pd

from homeostat.core.training_data.categories import as_category
from homeostat.core.training_data.columns import as_number
from homeostat.scaffold.table_guess import TableGuess

#: Rows that are looked at.
MAX_ROWS = 20_000
#: From this correlation on a number is the label in other units.
_SAME = 0.999999
#: A column only grows with time when at most this share of its steps goes down, and none by half of its
#: range, as a month does every January.
_FALLS, _LARGE_FALL = 0.001, 0.5


def without_copies(guess: TableGuess, rows: pd.DataFrame) -> TableGuess:
    """Return the guess without features that hold the label in other words.

    A table often has one: ``survived`` and ``alive``, an amount in two currencies.

    Parameters
    ----------
    rows
        Some of the table's rows, as they were read: features and label.
    """
    regression = guess.task == "regression"
    label = as_number(rows[guess.label]).column if regression else as_category(rows[guess.label]).column
    for name, feature in guess.features.items():
        if feature.type == "number":
            values = as_number(rows[name]).column
            copies = _same_numbers(values, label) if regression else _one_to_one(values, label)
        else:
            copies = not regression and _one_to_one(as_category(rows[name]).column, label)
        if copies:
            guess = guess.without(
                name, f"is '{guess.label}' in other words: it would not be known beforehand"
            )
    return guess


def without_counters(guess: TableGuess, rows: pd.DataFrame, times: pd.Series) -> TableGuess:
    """Return the guess without whole numbers that only grow with time: a year, a number of the row.

    What is learnt from them says nothing about the time to come, whose values are new.

    Parameters
    ----------
    rows, times
        Some of the table's rows, and their times.
    """
    order = times.sort_values(kind="stable").dropna().index
    for name in guess.features:
        numbers = as_number(rows[name]).column.loc[order].dropna().to_numpy(dtype=float)
        enough = numbers.size > 0.9 * len(order) and numbers.size > 1
        if not enough or (numbers != np.floor(numbers)).any():
            continue
        steps = np.diff(numbers)
        restarts = steps.min() <= -_LARGE_FALL * np.ptp(numbers)
        if (steps < 0).mean() <= _FALLS and not restarts and numbers[0] < numbers[-1]:
            guess = guess.without(name, "only grows with time: values to come are all new to the model")
    return guess


def sum_note(guess: TableGuess, rows: pd.DataFrame) -> str:
    """Return which numbers add up to the label of a regression; empty when none do."""
    names = [name for name, feature in guess.features.items() if feature.type == "number"]
    if guess.task != "regression" or not names:
        return ""
    table = pd.DataFrame({name: as_number(rows[name]).column for name in [*names, guess.label]}).dropna()
    if len(table) < 10 * len(names):
        return ""
    inputs = table[names].to_numpy(dtype=float)
    scale = np.where(inputs.std(axis=0) > 0, inputs.std(axis=0), 1.0)
    inputs = (inputs - inputs.mean(axis=0)) / scale
    label = table[guess.label].to_numpy(dtype=float)
    label = label - label.mean()
    weights, *_ = np.linalg.lstsq(inputs, label, rcond=None)
    left = float(((label - inputs @ weights) ** 2).sum())
    if left > (1 - _SAME) * float((label**2).sum()):
        return ""
    parts = [name for name, weight in zip(names, weights, strict=True) if abs(weight) > 0.01 * label.std()]
    return (
        f"{', '.join(repr(name) for name in parts)} together give '{guess.label}' exactly: remove from "
        "model.yaml and pipeline.py what is not known when the prediction is needed"
    )


def _same_numbers(one: pd.Series, other: pd.Series) -> bool:
    both = one.notna() & other.notna()
    a, b = one[both].to_numpy(dtype=float), other[both].to_numpy(dtype=float)
    if a.size < 2 or not (a.std() > 0 and b.std() > 0):
        return False
    return bool(abs(np.corrcoef(a, b)[0, 1]) >= _SAME)


def _one_to_one(one: pd.Series, other: pd.Series) -> bool:
    """Return whether every value stands for one value of the other, and the other way round."""
    pairs = pd.DataFrame({"one": one, "other": other}).dropna()
    distinct = len(pairs.drop_duplicates())
    return distinct > 1 and pairs["one"].nunique() == pairs["other"].nunique() == distinct
