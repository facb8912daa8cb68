"""Fit the members of a version: one pipeline, on parts of the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from homeostat.bundle.committee import Committee, committee_classes
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError, PipelineError
from homeostat.core.training_data import Member, member_rows, members, recency_weights, window_rows
from homeostat.retraining.fit import fit, label_array, takes_weights


class MemberFitter:
    """Fits the members of one version, and counts the fits.

    Parameters
    ----------
    until
        The end of the window, at which a row's weight is 1 (``kind: recency``).
    spec
        A pipeline to use instead of model.yaml's.
    rows
        All rows of the version, in time order: they decide which members there are.
    """

    def __init__(self, config: ModelConfig, until: datetime, spec: str | None, rows: pd.DataFrame) -> None:
        self.config = config
        self.fits = 0
        self._until = until
        self._spec = spec
        self._rows = len(rows)
        self.window_rows = window_rows(rows[config.columns.timestamp], config.monitor)
        weighted = config.training.window.kind != "auto" or takes_weights(config, spec)
        self.members = members(len(rows), self.window_rows, config.training, weighted=weighted)

    def fit(self, rows: pd.DataFrame, member: Member) -> Any:
        """Fit one member on its part of these rows."""
        moments = rows[self.config.columns.timestamp]
        half_life = self.config.training.window.half_life
        if member.name == "recency" and half_life is not None:
            weights = recency_weights(moments, self._until, half_life)
            return self._fit(rows, weights)
        part, member_weights = member_rows(moments, member)
        return self._fit(rows.iloc[part].reset_index(drop=True), member_weights)

    def committee(self, rows: pd.DataFrame, names: Sequence[str]) -> Committee:
        """Fit these members; without any that can be fitted, the first of all, or raise its error."""
        fitted: dict[str, Any] = {}
        first = self.members[0]
        for member in self.members:
            if member.name not in names:
                continue
            try:
                fitted[member.name] = self.fit(rows, member)
            except (DataError, PipelineError):  # one class, or a pipeline that needs more rows
                if member is first:
                    raise
        if not fitted:
            fitted[first.name] = self.fit(rows, first)
        return self._committee(fitted, rows)

    def all_members(self, rows: pd.DataFrame) -> Committee | None:
        """Fit all members; None where one cannot be fitted."""
        found = self.committee(rows, [member.name for member in self.members])
        return found if len(found.names) == len(self.members) else None

    def describe(self, names: Sequence[str]) -> str:
        """Return the members for people."""
        return " + ".join(each.describe(self._rows) for each in self.members if each.name in names)

    def _committee(self, fitted: Mapping[str, Any], rows: pd.DataFrame) -> Committee:
        classes = None
        if self.config.task == "classification":
            labels = label_array(rows[self.config.columns.label.name])
            classes = committee_classes(list(fitted.values()), labels)
        return Committee(list(fitted.values()), list(fitted), classes)

    def _fit(self, rows: pd.DataFrame, weights: np.ndarray | None) -> Any:
        self.fits += 1
        return fit(self.config, rows, weights, self._spec)
