"""Check before the fit that the bundle of a pipeline could be loaded."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from homeostat.bundle.files import dump_estimator
from homeostat.bundle.pipeline import pipeline_name
from homeostat.bundle.safe_load import untrusted_types
from homeostat.bundle.trusted_types import how_to_trust
from homeostat.config import ModelConfig
from homeostat.config.errors import UntrustedType
from homeostat.retraining.fit import build_pipeline, check_label, fit
from homeostat.retraining.fit_cache import keeps_fits

#: Pipelines that have passed while fits were kept: a backtest checks each once.
_passed: set[tuple[str, ...]] = set()
#: The rows of the fit that shows the types of a fitted pipeline.
SAMPLE = 20


def check_types(
    config: ModelConfig, rows: pd.DataFrame, trusted_types: tuple[str, ...], spec: str | None = None
) -> None:
    """Check the types of the unfitted pipeline, and those of a fit on twenty rows.

    A pipeline that cannot be fitted on so few rows is checked unfitted only; its bundle is checked again when
    it is loaded.

    Parameters
    ----------
    rows
        Training rows of the schema's types, with their label.
    trusted_types
        Those of the installation; the model's own are added.
    spec
        A pipeline to use instead of model.yaml's.

    Raises
    ------
    SingleClass, ConfigError
        No model can be fitted on the label; the pipeline is not even imported.
    UntrustedType
        A type is not trusted: the message lists all that were found, with the lines to add.
    PipelineError
        The pipeline cannot be built, or has something that cannot be stored, such as a lambda.
    """
    check_label(config, rows)
    checked = (str(config.folder), spec or config.pipeline, *trusted_types, *config.trusted_types)
    if keeps_fits() and checked in _passed:
        return
    estimators = [build_pipeline(config, spec or config.pipeline), _small_fit(config, rows, spec)]
    unknown: set[str] = set()
    for each in estimators:
        if each is not None:
            data = dump_estimator(config, each)
            unknown |= set(untrusted_types(data, config.name, trusted_types, config))
    if unknown:
        what = f"{pipeline_name(config, spec)}: no gateway would load this model, as it contains types that "
        msg = f"{what}are not trusted: {', '.join(sorted(unknown))}. Nothing was fitted; "
        raise UntrustedType(msg + how_to_trust(sorted(unknown), config.name))
    if keeps_fits():
        _passed.add(checked)


def _small_fit(config: ModelConfig, rows: pd.DataFrame, spec: str | None) -> Any:
    """Return the pipeline fitted on twenty rows of all classes; None where that does not work."""
    label = rows[config.columns.label.name]
    sample = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, SAMPLE).astype(int))]
    if config.task == "classification":
        classes = max(int(label.nunique()), 1)
        sample = rows[(label.groupby(label).cumcount() < max(2, SAMPLE // classes)).to_numpy()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about so few rows
            return fit(config, sample.reset_index(drop=True), None, spec)
    except Exception:  # noqa: BLE001  # the user's own code, and more than twenty rows may be what it needs
        return None
