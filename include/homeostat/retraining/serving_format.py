"""Store a version as ONNX, where ``training.serving_format`` asks for it and it predicts the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from homeostat.bundle.committee import Committee
from homeostat.bundle.inputs import model_inputs, takes_matrix
from homeostat.config import ModelConfig
from homeostat.config.extras import optional_libraries


class ServingFormat:
    """Converts the estimators of one retrain; each that cannot be converted is stored as it is.

    Parameters
    ----------
    rows
        Rows of the schema's types, on which the predictions are compared: the holdout.

    Raises
    ------
    MissingExtra
        ``training.serving_format`` is ``onnx``, and its libraries are not installed.
    """

    def __init__(self, config: ModelConfig, rows: pd.DataFrame) -> None:
        self._config = config
        self._rows = rows
        self._wanted = config.training.serving_format == "onnx"
        self._converted: dict[int, tuple[Any, Any]] = {}
        #: Why a version is stored as it is; "" without a reason.
        self.reason = ""
        if self._wanted:
            with optional_libraries():
                import onnxruntime  # noqa: F401  # whether it is there
                import skl2onnx  # noqa: F401

    @property
    def facts(self) -> dict[str, str]:
        """Return the format in which the versions were stored, for the manifest and the run."""
        if not self._wanted:
            return {}
        return {"serving_format": "skops" if self.reason else "onnx"}

    @property
    def sentence(self) -> str:
        """Return the format for people, to add to another sentence; "" where none was asked for."""
        if not self._wanted:
            return ""
        if not self.reason:
            return "; stored as ONNX, which predicts the same on the holdout"
        return f"; stored as skops and not as ONNX (training.serving_format): {self.reason}"

    def of(self, estimator: Any) -> Any:
        """Return the ONNX model of a fitted estimator, or the estimator itself.

        A committee is converted with all its members, or stays as it is.
        """
        if not self._wanted or self.reason:
            return estimator
        from homeostat.bundle.onnx_format.compare import NotConverted

        try:
            if isinstance(estimator, Committee):
                members = [self._one(each) for each in estimator.members]
                return Committee(members, estimator.names, estimator.classes_)
            return self._one(estimator)
        except NotConverted as error:
            self.reason = str(error)
            return estimator

    def wrap(self, put: Callable[[Any, dict[str, Any]], str]) -> Callable[[Any, dict[str, Any]], str]:
        """Return a function that converts an estimator and then writes its bundle, with the format."""

        def converting(estimator: Any, more: dict[str, Any]) -> str:
            served = self.of(estimator)
            return put(served, {**self.facts, **more})

        return converting

    def _one(self, estimator: Any) -> Any:
        """Return the ONNX model of an estimator; a committee and its selection share members."""
        if id(estimator) not in self._converted:
            from homeostat.bundle.onnx_format.compare import converted

            as_matrix = takes_matrix(estimator, self._config)
            inputs = model_inputs(self._rows, self._config, as_matrix=as_matrix)
            kinds = {name: feature.type for name, feature in self._config.columns.features.items()}
            self._converted[id(estimator)] = (estimator, converted(estimator, inputs, kinds))
        return self._converted[id(estimator)][1]
