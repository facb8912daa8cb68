"""Text columns as the categories that boosters split on without an encoder."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

#: A missing category in the text columns of ``as_text``. Empty texts of a source count as missing.
_MISSING = ""


class NativeCategories(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Turn text columns into pandas categories, or fill their missing values; numbers stay as they are.

    For ``LGBMClassifier`` and ``XGBClassifier(enable_categorical=True)`` in a pipeline: the categories are
    those of the rows of the fit, in alphabetical order, so a value always has the same code. A value that
    the fit has not seen becomes missing.

    Parameters
    ----------
    as_text
        Keep the columns as text, with the empty text for a missing value, as ``CatBoostClassifier`` with
        ``cat_features`` wants them.
    """

    def __init__(self, as_text: bool = False) -> None:  # noqa: FBT001, FBT002  # scikit-learn's convention
        self.as_text = as_text

    def fit(self, frame: pd.DataFrame, _target: Any = None) -> Self:
        """Learn the categories of each text column of a DataFrame."""
        self.feature_names_in_ = np.asarray(frame.columns, dtype=object).astype(np.str_)
        self.n_features_in_ = frame.shape[1]
        self.categories_ = {
            str(name): sorted(str(value) for value in frame[name].dropna().unique())
            for name in frame.columns
            if not pd.api.types.is_numeric_dtype(frame[name])
        }
        return self

    def transform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with its text columns converted."""
        if self.as_text:
            return frame.fillna(dict.fromkeys(self.categories_, _MISSING))
        return frame.assign(
            **{name: _categorical(frame[name], known) for name, known in self.categories_.items()}
        )

    def get_feature_names_out(self, _names: Any = None) -> np.ndarray:
        """Return the columns, which stay the same."""
        return np.asarray(self.feature_names_in_, dtype=object)


def _categorical(column: pd.Series, known: list[str]) -> pd.Categorical:
    """Return the column with the code -1, missing, for all that is not among these categories."""
    categories = pd.Index(known, dtype="str")
    return pd.Categorical.from_codes(categories.get_indexer(pd.Index(column)), categories=categories)
