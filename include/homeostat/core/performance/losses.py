"""The loss of each row, by which versions are compared whatever the gate's metric is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.label_text import label_texts


def row_losses(config: ModelConfig, predicted: np.ndarray, labelled: pd.DataFrame) -> np.ndarray:
    """Return the loss of each row: 0 or 1 (classification), absolute error (regression), shape (n,).

    Parameters
    ----------
    predicted
        One prediction per row of ``labelled``.
    """
    truth = labelled[config.columns.label.name]
    if config.task == "regression":
        errors: np.ndarray = np.abs(np.asarray(truth, np.float64) - np.asarray(predicted, np.float64))
        return errors
    given, true = (np.array(label_texts(values), object) for values in (predicted, truth))
    wrong: np.ndarray = (given != true).astype(np.float64)
    return wrong
