"""Say in one sentence why an estimator failed on its rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from homeostat.bundle.boosters.labels import unwrapped
from homeostat.config.errors import PipelineError

_ABOUT_MISSING = re.compile(r"\bnan\b|missing|\bnull\b|\bnone\b", re.IGNORECASE)


def estimator_failure(  # noqa: PLR0917  # the facts of one sentence
    error: Exception, step: str, pipeline: str, task: str, estimator: Any, inputs: Any, names: Sequence[str]
) -> PipelineError:
    """Return the error to raise when an estimator failed on these rows.

    Parameters
    ----------
    error
        What the estimator raised.
    step
        ``fitting`` or ``predict``.
    pipeline
        The pipeline's file and function, or the model's name.
    task
        ``classification`` or ``regression``.
    inputs, names
        The rows that it got, shape (n, features): a matrix or a DataFrame; and its columns.
    """
    missing = _missing_columns(inputs, names) if _ABOUT_MISSING.search(str(error)) else {}
    if missing:
        last = type(_last_step(estimator)).__name__
        kind = "Regressor" if task == "regression" else "Classifier"
        shown = ", ".join(f"'{name}' has {rows:,}" for name, rows in list(missing.items())[:5])
        more = f" and {len(missing) - 5} more columns" if len(missing) > 5 else ""
        column = "column" if len(missing) == 1 else "columns"
        return PipelineError(
            f"{pipeline}: {last} takes no missing values ({step} failed), but of {len(inputs):,} rows "
            f"{column} {shown}{more}: put a SimpleImputer before it in the pipeline, or use an estimator "
            f"that takes missing values, such as HistGradientBoosting{kind}"
        )
    detail = " ".join(str(error).split())
    shown = detail if len(detail) <= 300 else detail[:297] + "..."
    return PipelineError(f"{pipeline}: {step} failed with {type(error).__name__}: {shown}")


def _missing_columns(inputs: Any, names: Sequence[str]) -> dict[str, int]:
    """Return the columns with missing values and how many each has."""
    counts = np.asarray(pd.isna(inputs)).sum(axis=0).tolist()
    return {name: rows for name, rows in zip(names, counts, strict=True) if rows}


def _last_step(estimator: Any) -> Any:
    estimator = unwrapped(estimator)
    return estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
