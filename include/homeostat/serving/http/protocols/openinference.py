"""The Open Inference Protocol v2 (KServe, Triton, MLServer): parse infer requests, encode responses.

Each feature is one tensor of shape [n] or [n, 1]; or all features are one tensor [n, features] in the order
of model.yaml. The key and the timestamp may be sent as further tensors. ``parameters`` are accepted and not
used; ``binary_data`` is not supported.

Specification: https://github.com/kserve/open-inference-protocol (specification/protocol/inference_rest.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from homeostat.config.label_text import label_texts
from homeostat.serving.http.protocols.tensors import Tensor, check_parameters, read_tensor
from homeostat.serving.inference.scoring import ClassProbabilities
from homeostat.serving.scoring_request import BadRequest, InputSpec, Rows, read_json, typed_rows

#: The outputs of a response; all but ``predict`` only where the model has probabilities.
OUTPUTS = ("predict", "confidence", "probabilities", "classes")
MAX_ID = 1024
_SHORT_FLOATS = {"FP32": np.float32, "FP16": np.float16}
_EXAMPLE = '{"inputs": [{"name": "column", "shape": [1], "datatype": "FP64", "data": [1.0]}]}'


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A parsed infer request: rows, the ``id`` to echo, and the requested outputs (None: all)."""

    rows: Rows
    id: str | None
    outputs: tuple[str, ...] | None


def parse_infer(body: bytes, spec: InputSpec, *, max_rows: int = 10_000) -> InferRequest:
    """Parse an infer request into typed columns, equal to those of the same rows in MLflow's forms.

    Raises
    ------
    BadRequest
        The message names positions, datatypes and columns of model.yaml, and no value.
    """
    raw = read_json(body)
    if not isinstance(raw, dict) or not isinstance(raw.get("inputs"), list) or not raw["inputs"]:
        msg = f"Expected an object with a list of 'inputs', such as {_EXAMPLE}."
        raise BadRequest(msg)
    if len(raw["inputs"]) > 2 * len(spec.known) + 1000:
        raise BadRequest("'inputs' has far more tensors than the model has columns.")
    request_id = raw.get("id")
    if request_id is not None and not (isinstance(request_id, str) and len(request_id) <= MAX_ID):
        msg = f"'id' must be text of at most {MAX_ID} characters."
        raise BadRequest(msg)
    check_parameters(raw, "The request")
    outputs = _outputs(raw.get("outputs"))
    tensors = [read_tensor(each, index, max_rows) for index, each in enumerate(raw["inputs"])]
    count = tensors[0].shape[0]
    for index, tensor in enumerate(tensors):
        if tensor.shape[0] != count:
            msg = f"inputs[{index}]: its number of rows differs from inputs[0]."
            raise BadRequest(msg)
    if count == 0:
        raise BadRequest("'inputs' has no rows: send at least one.")
    return InferRequest(typed_rows(_columns(tensors, spec), count, spec), request_id, outputs)


def _outputs(raw: Any) -> tuple[str, ...] | None:
    if raw is None or raw == []:
        return None
    names = (
        [each.get("name") if isinstance(each, dict) else None for each in raw]
        if isinstance(raw, list)
        else [None]
    )
    for index, name in enumerate(names):
        if name not in OUTPUTS:
            msg = f"outputs[{index}]: expected an object whose 'name' is one of {', '.join(OUTPUTS)}."
            raise BadRequest(msg)
        check_parameters(raw[index], f"outputs[{index}]")
    return tuple(dict.fromkeys(str(name) for name in names))


def _columns(tensors: Sequence[Tensor], spec: InputSpec) -> dict[str, list[Any]]:
    width = len(spec.names)
    numeric = dict(zip(spec.names, spec.numeric, strict=True))
    features = numeric.keys()
    has_single_features = any(tensor.name in features for tensor in tensors)
    columns: dict[str, list[Any]] = {}
    for index, tensor in enumerate(tensors):
        is_matrix = not has_single_features and tensor.name not in spec.known and tensor.shape[1:] == (width,)
        if is_matrix and columns.keys() & features:
            msg = f"inputs[{index}]: a second tensor of all {width} features; send one."
            raise BadRequest(msg)
        if is_matrix:
            columns |= {name: tensor.values[i::width] for i, name in enumerate(spec.names)}
        elif len(tensor.shape) == 2 and tensor.shape[1] != 1:
            msg = (
                f"inputs[{index}]: expected shape [n] or [n, 1] for one column, or [n, {width}] for all "
                f"features in the order {', '.join(spec.names)}."
            )
            raise BadRequest(msg)
        elif tensor.name in columns and tensor.name in spec.known:
            msg = f"inputs[{index}]: duplicate tensor name; send one."
            raise BadRequest(msg)
        else:
            columns[tensor.name] = tensor.values
    for tensor in tensors:
        names = {tensor.name} if tensor.name in columns else features
        for name in names & features:
            columns[name] = _as_feature(columns[name], tensor.datatype, numeric[name])
    return columns


def _as_feature(values: list[Any], datatype: str, numeric: bool) -> list[Any]:  # noqa: FBT001
    """Return booleans that are numbers as 0 and 1, and short floats that are categories shortened."""
    if datatype == "BOOL" and numeric:
        return [None if value is None else int(value) for value in values]
    if datatype in _SHORT_FLOATS and not numeric:
        return [_shortest(value, datatype) for value in values]
    return values


def _shortest(value: Any, datatype: str) -> Any:
    """Return the shortest number of the same bits: 0.1 for 0.10000000149011612, since the category is 0.1."""
    return float(str(_SHORT_FLOATS[datatype](value))) if isinstance(value, float) else value


def encode_infer(
    request: InferRequest,
    model: str,
    version: str,
    predictions: list[Any],
    confidence: Sequence[float | None] | None,
    probabilities: ClassProbabilities | None = None,
) -> bytes:
    """Return the protocol's response. NaN, which JSON lacks, is written as null.

    ``probabilities`` is a tensor of shape [rows, classes], row by row, ``classes`` one of shape [classes].
    """
    response: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        response["id"] = request.id
    datatype, data = output_tensor(predictions)
    tensors = {"predict": {"name": "predict", "datatype": datatype, "shape": [len(data)], "data": data}}
    if confidence is not None:
        tensors["confidence"] = {
            "name": "confidence",
            "datatype": "FP64",
            "shape": [len(confidence)],
            "data": list(confidence),
        }
    if probabilities is not None:
        rows, columns = probabilities.proba.shape
        tensors["probabilities"] = {
            "name": "probabilities",
            "datatype": "FP64",
            "shape": [rows, columns],
            "data": probabilities.proba.ravel().tolist(),
        }
        datatype, data = output_tensor(list(probabilities.classes))
        tensors["classes"] = {"name": "classes", "datatype": datatype, "shape": [columns], "data": data}
    names = request.outputs if request.outputs is not None else OUTPUTS
    response["outputs"] = [tensors[name] for name in names if name in tensors]
    return orjson.dumps(response)


def output_tensor(values: list[Any]) -> tuple[str, list[Any]]:
    """Return the datatype of these predictions, and the predictions in it."""
    kinds = {type(value) for value in values} - {type(None)}
    for datatype, held in (("BOOL", {bool}), ("INT64", {int}), ("FP64", {float, int})):
        if kinds and kinds <= held:
            return datatype, values
    return ("BYTES", label_texts(values)) if kinds else ("FP64", values)
