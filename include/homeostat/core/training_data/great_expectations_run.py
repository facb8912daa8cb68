"""Runs Great Expectations on a data frame; imported late, as its import takes seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd


def validate(frame: pd.DataFrame, expectations: Sequence[Any]) -> list[Any]:
    """Return the results of the expectations on all rows, in any order; [] without expectations."""
    import homeostat.core.training_data.great_expectations_import  # noqa: F401, I001  # before the library
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    if not expectations:
        return []
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all")
    suite = context.suites.add(gx.ExpectationSuite("training", expectations=list(expectations)))
    definition = gx.ValidationDefinition(name="training", data=batch, suite=suite)
    run = definition.run(batch_parameters={"dataframe": frame}, result_format={"result_format": "COMPLETE"})
    return list(run.results)
