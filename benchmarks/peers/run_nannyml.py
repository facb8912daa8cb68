"""NannyML's UnivariateDriftCalculator with KS and chi-square, fitted once, calculated per window.

As https://nannyml.readthedocs.io shows it under "Univariate Drift Detection". Its thresholds come from how
much the reference's own chunks differ, so there are ten of them, and a window has chunks of the same size.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"  # it calls home otherwise, which is not drift detection

import nannyml
import pandas as pd
from timing import CATEGORIES, NUMBERS, run


def set_up(reference: pd.DataFrame) -> Any:
    """The fitted calculator."""
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=NUMBERS + CATEGORIES,
        treat_as_categorical=CATEGORIES,
        continuous_methods=["kolmogorov_smirnov"],
        categorical_methods=["chi2"],
        chunk_size=len(reference) // 10,
    )
    return calculator.fit(reference)


def check(calculator: Any, window: pd.DataFrame) -> Any:
    """Its result for the window."""
    return calculator.calculate(window)


def read(result: Any) -> tuple[bool | None, int]:
    """Columns with an alert in any chunk; it gives no verdict on the whole data set."""
    frame = result.filter(period="analysis").to_df()
    alerts = frame.loc[:, [column for column in frame.columns if column[-1] == "alert"]]
    return None, int(alerts.any().sum())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    run("NannyML", nannyml.__version__, set_up, check, read)
