"""Any column as numbers or as labels, with what is missing and what is neither told apart."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from homeostat.config.labels import label_text

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: A label is cut to this many UTF-8 bytes (and a digest), so that no value makes a profile large.
MAX_LABEL_BYTES = 40


def as_numbers(column: pd.Series) -> tuple[Floats, int]:
    """The column's numbers, and how many values are there but are no numbers.

    Returns
    -------
    numbers
        float64, NaN where a value is missing; values that are no numbers are left out, so that
        they are not taken for missing ones. Booleans are 0 and 1, infinities stay.
    not_numbers
        How many were left out: text that does not parse, dates, containers.
    """
    kind = getattr(column.dtype, "kind", "O")
    if isinstance(column.dtype, pd.CategoricalDtype):
        column, kind = column.astype(object), "O"
    if kind in "biuf":
        if isinstance(column.dtype, np.dtype):
            return column.to_numpy().astype(np.float64, copy=False), 0
        return column.to_numpy(dtype=np.float64, na_value=np.nan), 0
    there = column.notna().to_numpy(dtype=bool)
    if kind in "Mmc":
        return np.full(int((~there).sum()), np.nan), int(there.sum())
    numbers = _parse(column)
    strangers = np.isnan(numbers) & there
    return numbers[~strangers], int(strangers.sum())


def _parse(column: pd.Series) -> Floats:
    try:
        return np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        # Containers, mixed types or integers beyond 64 bits: value by value, which is slow but rare.
        return np.fromiter((_number(value) for value in column), dtype=np.float64, count=len(column))


def _number(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond float64 is far out, on its own side
        return np.inf if value > 0 else -np.inf
    except (TypeError, ValueError):
        return np.nan


def as_labels(column: pd.Series) -> tuple[Ints, list[str], int]:
    """The column's distinct labels with their counts, in order of appearance.

    Returns
    -------
    counts, labels, missing
        ``counts[i]`` rows hold ``labels[i]``, spelt as :mod:`homeostat.config.labels` does; None, NaN,
        NaT, NA and empty text are missing.
    """
    try:
        codes, uniques = pd.factorize(column)
    except TypeError:  # lists and dictionaries cannot be hashed
        codes, uniques = pd.factorize(column.map(label_of, na_action="ignore"))
    per_code = np.bincount(codes[codes >= 0], minlength=len(uniques))
    missing = int((codes < 0).sum())
    by_label: dict[str, int] = {}
    for value, rows in zip(uniques.tolist(), per_code.tolist(), strict=True):
        label = label_of(value)
        if label is None:
            missing += rows
        else:
            by_label[label] = by_label.get(label, 0) + rows
    return np.fromiter(by_label.values(), dtype=np.int64, count=len(by_label)), list(by_label), missing


def label_of(value: Any) -> str | None:
    """A category as text, None when it is missing; long ones keep their beginning and a digest."""
    try:
        text = label_text(value)
    except OverflowError:  # an integer beyond float64
        text = str(value)
    if text is None:
        return None
    raw = text.encode("utf-8", "backslashreplace")
    if len(raw) <= MAX_LABEL_BYTES:
        return raw.decode()
    mark = hashlib.blake2b(raw, digest_size=6).hexdigest()
    return raw[: MAX_LABEL_BYTES - 15].decode(errors="ignore") + "…" + mark


def hash_of(label: str) -> int:
    """32 bits that stand for a label: stable between processes, releases and machines."""
    return int.from_bytes(hashlib.blake2b(label.encode(), digest_size=4).digest(), "big")
