"""Alibi Detect's TabularDrift: KS and chi-square per feature, Bonferroni across them.

As https://docs.seldon.ai/alibi-detect/cd/examples/cd_chi2ks_adult shows it: categories as codes in one
array of floats. Making the codes is not timed.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

import numpy as np
import pandas as pd

with contextlib.redirect_stdout(io.StringIO()):  # it prints which frameworks it has not found
    import alibi_detect
    from alibi_detect.cd import TabularDrift
from timing import CATEGORIES, NUMBERS, run

AT = {len(NUMBERS) + at: None for at in range(len(CATEGORIES))}
P_VALUE = 0.05


def codes(frame: pd.DataFrame) -> np.ndarray:
    """Numbers as they are, categories as the number in their label."""
    labels = [frame[name].str.rpartition("-")[2].astype(float) for name in CATEGORIES]
    return np.column_stack([frame[NUMBERS].to_numpy(), *labels])


def set_up(reference: np.ndarray) -> Any:
    """The detector."""
    return TabularDrift(reference, p_val=P_VALUE, categories_per_feature=AT)


def check(detector: Any, window: np.ndarray) -> Any:
    """Its prediction for the window."""
    return detector.predict(window)


def read(prediction: Any) -> tuple[bool | None, int]:
    """Its verdict, and the features below its corrected threshold."""
    found = prediction["data"]
    return bool(found["is_drift"]), int((found["p_val"] < found["threshold"]).sum())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    run("Alibi Detect", alibi_detect.__version__, set_up, check, read, prepare=codes)
