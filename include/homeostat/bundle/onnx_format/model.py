"""An ONNX file that predicts like the pipeline from which it was converted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from homeostat.bundle.boosters.known import predict_threads
from homeostat.bundle.onnx_format.checks import check
from homeostat.config.errors import Untrusted
from homeostat.config.extras import optional_libraries

#: The one input of a model that takes all features as a matrix.
MATRIX = "features"
#: A missing category: ONNX has no missing text. Empty texts of a source count as missing.
MISSING = ""


class OnnxModel:
    """The estimator of a bundle whose ``serving_format`` is ``onnx``. Its archive has the file as it is.

    Parameters
    ----------
    data
        The ONNX file: float64 and text inputs, and one output, the probabilities or the numbers.
    columns
        The features in their order; each is an input, unless there is one input :data:`MATRIX`.
    required
        Numbers that must not be missing: the pipeline raises an error for them, too.
    classes
        The class of each probability, in ascending order; None for a regression.
    """

    data: bytes
    columns: list[str]
    required: list[str]
    classes_: np.ndarray | None

    def __init__(
        self, data: bytes, columns: Sequence[str], required: Sequence[str], classes: np.ndarray | None
    ) -> None:
        self.__setstate__(
            {
                "data": data,
                "size": len(data),
                "columns": list(columns),
                "required": list(required),
                "classes_": classes,
            }
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Check the file before ONNX Runtime reads it; skops calls this once all types are trusted."""
        data = bytes(state["data"])
        if len(data) != state["size"]:  # a file cut between two fields of its protobuf is a valid protobuf
            msg = "the ONNX file in the bundle has another size than it says: it was manipulated"
            raise Untrusted(msg)
        check(data)
        self.__dict__.update(state)
        self._run, inputs = _session(data)
        self._as_matrix = inputs == [MATRIX]
        if not self._as_matrix and not set(inputs) <= set(self.columns):
            msg = "the ONNX file in the bundle has other inputs than the model has features"
            raise Untrusted(msg)
        self._inputs = inputs
        self._required = [self.columns.index(name) for name in self.required]

    @property
    def predict_proba(self) -> Callable[[Any], np.ndarray]:
        """Return the function of the probabilities, shape (rows, classes); AttributeError in a regression."""
        if self.classes_ is None:
            msg = "a regression has no predict_proba"
            raise AttributeError(msg)
        return self._outputs

    def predict(self, inputs: Any) -> np.ndarray:
        """Return the most probable class, or the number, of each row of a matrix or frame, shape (rows,)."""
        found = self._outputs(inputs)
        if self.classes_ is None:
            return found.reshape(len(found))
        chosen: np.ndarray = np.asarray(self.classes_)[found.argmax(axis=1)]
        return chosen

    def _outputs(self, inputs: Any) -> np.ndarray:
        by_name = isinstance(inputs, pd.DataFrame)
        for at in self._required:
            column = inputs[self.columns[at]].to_numpy() if by_name else inputs[:, at]
            if np.isnan(column).any():
                msg = f"'{self.columns[at]}' is missing in a row, and the pipeline takes no missing one"
                raise ValueError(msg)
        if self._as_matrix:
            feed = {MATRIX: np.asarray(inputs, dtype=np.float64)}
        elif by_name:
            feed = {name: _column(inputs[name]) for name in self._inputs}
        else:
            feed = {name: inputs[:, [self.columns.index(name)]] for name in self._inputs}
        found: np.ndarray = np.asarray(self._run(None, feed)[0], dtype=np.float64)
        return found


def _column(column: pd.Series) -> np.ndarray:
    if column.dtype.kind in "biuf":
        return column.to_numpy(dtype=np.float64).reshape(-1, 1)
    return column.fillna(MISSING).to_numpy(dtype=object).reshape(-1, 1)


def _session(data: bytes) -> tuple[Callable[..., Any], list[str]]:
    """Return the function that runs the file on the threads of the server, and the names of its inputs."""
    with optional_libraries():
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = predict_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without the fallback, which prints what is wrong with a file and tries again.
    session = onnxruntime.InferenceSession(
        data, options, providers=["CPUExecutionProvider"], enable_fallback=0
    )
    if len(session.get_outputs()) != 1:
        msg = "the ONNX file in the bundle has several outputs: it was not written by Homeostat"
        raise Untrusted(msg)
    return session.run, [each.name for each in session.get_inputs()]
