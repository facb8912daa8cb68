"""Tell a label of classes from a measure, before a classifier is fitted on hundreds of classes."""

from __future__ import annotations

import pandas as pd

from homeostat.config.label_text import is_number_text, label_text

#: Numbers with a fraction that have more values than this are a measure.
MAX_FRACTIONS = 20
#: So many classes need this many rows each on average; otherwise there is nothing to learn.
MANY_CLASSES, MIN_ROWS_PER_CLASS = 50, 5


def why_not_classes(label: pd.Series) -> str:
    """Return why the values of a label are no classes, and what to do; empty when they are.

    Parameters
    ----------
    label
        The labels of the training rows, as :func:`~homeostat.core.training_data.as_label` types them.
    """
    rows, classes = int(label.notna().sum()), label.nunique()
    texts = [str(label_text(value)) for value in label.dropna().unique().tolist()]
    is_number = all(map(is_number_text, texts))
    fractions = is_number and any("." in text for text in texts)
    too_many = classes > MANY_CLASSES and rows < MIN_ROWS_PER_CLASS * classes
    if not (too_many or (fractions and classes > MAX_FRACTIONS)):
        return ""
    found = f"has {classes:,} different values in {rows:,} rows"
    if is_number:
        return f"{found}, so it is a number and no class: write task: regression into model.yaml"
    cure = "check schema.label.name, or map them with schema.label.mapping"
    return f"{found}, too many to learn as classes: {cure}"
