"""Guess a model's schema from its table: the task, the features, and what each column is good for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from homeostat.config.errors import DataError
from homeostat.config.label_text import is_number_text
from homeostat.config.model import Feature
from homeostat.scaffold.table_scan import ScannedColumn
from homeostat.scaffold.table_time import TimeColumn

Task = Literal["classification", "regression"]

#: More texts than this are no classes, and more categories are not listed in model.yaml.
MAX_CLASSES, MAX_LISTED = 100, 50
#: Fewer labelled rows are not enough to train a version and to test it.
MIN_ROWS = 100
#: From this share of one class on, accuracy says little: predicting that class alone has it.
_MOST_OF_ONE_CLASS = 0.8
_ID_NAME = re.compile(r"(?:.*[\W_])?(?:id|ids|uuid|guid)|.*[a-z](?:Id|ID)")


@dataclass(frozen=True, slots=True)
class TableGuess:
    """The schema that a table seems to have, and sentences on what was guessed.

    Attributes
    ----------
    task, label
        The task and the column that is predicted.
    classes
        All classes; empty for a regression, and where there are too many to list.
    metric
        ``gate.metric``.
    timestamp, timestamp_format
        The column of times; empty for none. Its format, where the values do not say it.
    features
        The inputs, as model.yaml has them.
    found
        For each number among the features, the ends that the file has.
    left_out
        Columns that are no features, and why.
    notes
        What else was guessed, a sentence each.
    rows
        Rows with a label.
    """

    task: Task
    label: str
    classes: tuple[str, ...]
    metric: str
    timestamp: str
    timestamp_format: str
    features: Mapping[str, Feature]
    found: Mapping[str, tuple[float, float]]
    left_out: Mapping[str, str]
    notes: tuple[str, ...]
    rows: int

    def without(self, name: str, why: str) -> TableGuess:
        """Return the guess without this feature."""
        features = {key: feature for key, feature in self.features.items() if key != name}
        return replace(self, features=features, left_out={**self.left_out, name: why})


def guess_table(
    columns: Mapping[str, ScannedColumn], label: str, time: TimeColumn, data: str, task: Task | None = None
) -> TableGuess:
    """Guess task, features and settings.

    Parameters
    ----------
    time
        The column of times, from :func:`choose_time`.
    task
        The task that is asked for.

    Raises
    ------
    DataError
        The label cannot be predicted, or no feature is left.
    """
    draft = _Draft(task=task or _task_of(columns[label], data), data=data)
    column = columns[label]
    _check_label(column, draft)
    for name, each in columns.items():
        if name not in (label, time.name):
            draft.add(each)
    if not draft.features:
        why = (
            "; ".join(f"{name}: {reason}" for name, reason in draft.left_out.items()) or "there are no others"
        )
        msg = f"{data}: no column is left to predict '{label}' from ({why})"
        raise DataError(msg)
    classes = tuple(column.labels) if draft.task == "classification" else ()
    if draft.few_numbers:
        draft.notes.append(
            f"{', '.join(draft.few_numbers)}: a few whole numbers, taken as numbers; codes may as well be "
            "categories, in model.yaml and pipeline.py"
        )
    if time.note:
        draft.notes.append(time.note)
    return TableGuess(
        task=draft.task,
        label=label,
        classes=tuple(sorted(classes, key=_class_order)) if len(classes) <= MAX_CLASSES else (),
        metric=_metric(column, draft),
        timestamp=time.name,
        timestamp_format=time.date_format,
        features=draft.features,
        found=draft.found,
        left_out=draft.left_out,
        notes=tuple(draft.notes),
        rows=column.present,
    )


@dataclass(slots=True)
class _Draft:
    """Features as they are found, column by column."""

    task: Task
    data: str
    features: dict[str, Feature] = field(default_factory=dict)
    found: dict[str, tuple[float, float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    few_numbers: list[str] = field(default_factory=list)

    def add(self, column: ScannedColumn) -> None:
        """Take a column as a feature, or leave it out with the reason."""
        why = _why_left_out(column)
        if why:
            self.left_out[column.name] = why
            return
        required = not column.missing
        if column.kind == "number" or self._is_quantity(column):
            self.found[column.name] = (column.low, column.high)
            ends = wide_range(column.low, column.high)
            self.features[column.name] = Feature(type="number", range=ends, required=required)
        else:
            labels = sorted(column.labels, key=_class_order)
            listed = tuple(labels) if len(labels) <= MAX_LISTED else None
            self.features[column.name] = Feature(type="category", categories=listed, required=required)
        if column.unread:
            self.notes.append(
                f"'{column.name}': {column.unread:,} of {column.rows:,} values are text among numbers; "
                "training sets these rows aside"
            )

    def _is_quantity(self, column: ScannedColumn) -> bool:
        """Return whether a few whole numbers are taken as numbers: trees read codes from them as well.

        A number that the file lacks, such as a seventh room, is then no mistake.
        """
        whole = (
            math.isfinite(column.low) and len(column.labels) > 2 and all(map(is_number_text, column.labels))
        )
        if whole:
            self.few_numbers.append(column.name)
        return whole


def _why_left_out(column: ScannedColumn) -> str:
    plain = {
        "empty": "has no value",
        "opaque": "holds lists or bytes, not values",
        "datetime": "holds dates: build() can compute features from them, such as the weekday or an age",
    }
    if column.doubt or column.constant or column.kind in plain:
        same = "has the same value in every row" if column.constant else ""
        return column.doubt or same or plain[column.kind]
    if column.counts_rows or (_ID_NAME.fullmatch(column.name) and (column.kind != "number" or column.whole)):
        repeats = column.kind == "category" and not column.counts_rows
        more = f"; 'key: {column.name}' in model.yaml sends its rows to the same version" if repeats else ""
        return f"identifies rows, and says nothing about others{more}"
    if column.kind == "id" or len(column.labels) > max(1000, column.present // 5):
        return "is different text in most rows: an identifier, or prose"
    return ""


def _task_of(label: ScannedColumn, data: str) -> Task:
    if label.doubt:
        msg = f"{data}: column '{label.name}': {label.doubt}"
        raise DataError(msg)
    return "regression" if label.kind == "number" else "classification"


def _check_label(label: ScannedColumn, draft: _Draft) -> None:
    start = f"--label {label.name}: {draft.data} has"
    if label.present < MIN_ROWS:
        msg = (
            f"{start} {label.present} rows with a value in this column; training and testing need {MIN_ROWS}"
        )
        raise DataError(msg)
    if (label.low == label.high and not label.labels) or len(label.labels) == 1:
        msg = f"{start} one and the same value in every row of this column: there is nothing to predict"
        raise DataError(msg)
    if label.kind not in ("number", "category") or len(label.labels) > MAX_CLASSES:
        kinds = f"a label is a number, or one of at most {MAX_CLASSES} classes"
        msg = f"{start} {label.describe()} in this column: {kinds}"
        raise DataError(msg)
    if draft.task == "regression" and not math.isfinite(label.low):
        msg = f"--task regression: '{label.name}' holds {label.describe()}, not numbers"
        raise DataError(msg)
    codes = draft.task == "classification" and math.isfinite(label.low) and len(label.labels) > 2
    if codes:
        draft.notes.append(
            f"'{label.name}' has {len(label.labels)} whole numbers, taken as classes: for a quantity give "
            "--task regression"
        )
    if label.missing:
        draft.notes.append(
            f"{label.missing:,} of {label.rows:,} rows have no '{label.name}': they are not learnt from"
        )


def _metric(label: ScannedColumn, draft: _Draft) -> str:
    if draft.task == "regression":
        return "mae"
    top = max(label.labels, key=lambda name: label.labels[name], default="")
    share = label.labels.get(top, 0) / max(1, sum(label.labels.values()))
    if share < _MOST_OF_ONE_CLASS:
        return "accuracy"
    draft.notes.append(
        f"{share:.0%} of the rows have {label.name} = '{top}', so versions are compared by balanced accuracy"
    )
    return "balanced_accuracy"


def _class_order(text: str) -> tuple[int, float, str]:
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)


def wide_range(low: float, high: float) -> tuple[float, float] | None:
    """Return a range that mistakes leave and drift does not: as much again on both sides, rounded outwards.

    Numbers that are never negative stay so. None where the ends are not finite.
    """
    width = max(high - low, 1e-6 * max(abs(low), abs(high))) or 1.0  # wide enough to write in a few digits
    if not math.isfinite(width):
        return None
    step = 10.0 ** math.floor(math.log10(width))
    ends = (math.floor((low - width) / step), math.ceil((high + width) / step))
    first, last = (float(f"{end * step:.12g}") for end in ends)
    if not (math.isfinite(first) and math.isfinite(last)):
        return None
    return (max(first, 0.0) if low >= 0 else first), (min(last, 0.0) if high <= 0 else last)
