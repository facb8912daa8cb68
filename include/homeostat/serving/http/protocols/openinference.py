"""The Open Inference Protocol v2 (KServe, Triton, MLServer): an infer request in, tensors out.

Features come as one tensor each, of shape [n] or [n, 1], or together as one tensor [n, features] in the
order of model.yaml. The key and the timestamp may come along as tensors of their own. ``parameters`` are
accepted and not used, ``binary_data`` is not spoken.

Specification: https://github.com/kserve/open-inference-protocol (specification/protocol/inference_rest.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from homeostat.config.label_text import label_texts
from homeostat.serving.http.protocols.tensors import Tensor, check_parameters, read_tensor
from homeostat.serving.scoring_request import BadRequest, InputSpec, Rows, read_json, typed_rows

#: What an answer holds; ``confidence`` only where the model tells it.
OUTPUTS = ("predict", "confidence")
MAX_ID = 1024
_EXAMPLE = '{"inputs": [{"name": "column", "shape": [1], "datatype": "FP64", "data": [1.0]}]}'


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What one infer request asks: rows, the ``id`` to echo, and the outputs wanted (None: all)."""

    rows: Rows
    id: str | None
    outputs: tuple[str, ...] | None


def parse_infer(body: bytes, spec: InputSpec, *, max_rows: int = 10_000) -> InferRequest:
    """Turn an infer request's body into typed columns, equal to those of the same rows in MLflow's forms.

    Raises
    ------
    BadRequest
        With a sentence that names positions, datatypes and columns of model.yaml, and no value.
    """
    raw = read_json(body)
    if not isinstance(raw, dict) or not isinstance(raw.get("inputs"), list) or not raw["inputs"]:
        msg = f"Expected an object with a list of 'inputs', such as {_EXAMPLE}."
        raise BadRequest(msg)
    if len(raw["inputs"]) > 2 * len(spec.known) + 1000:
        raise BadRequest("'inputs' holds far more tensors than the model has columns.")
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
            msg = f"inputs[{index}]: another number of rows than inputs[0]: bring one value a row."
            raise BadRequest(msg)
    if count == 0:
        raise BadRequest("'inputs' hold no rows: send at least one.")
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
    features = set(spec.names)
    apart = any(tensor.name in features for tensor in tensors)
    columns: dict[str, list[Any]] = {}
    for index, tensor in enumerate(tensors):
        together = not apart and tensor.name not in spec.known and tensor.shape[1:] == (width,)
        if together and columns.keys() & features:
            msg = f"inputs[{index}]: a second tensor of all {width} features: send one."
            raise BadRequest(msg)
        if together:
            columns |= {name: tensor.values[i::width] for i, name in enumerate(spec.names)}
        elif len(tensor.shape) == 2 and tensor.shape[1] != 1:
            msg = (
                f"inputs[{index}]: expected shape [n] or [n, 1] for one column, or [n, {width}] for all "
                f"features in the order {', '.join(spec.names)}."
            )
            raise BadRequest(msg)
        elif tensor.name in columns and tensor.name in spec.known:
            msg = f"inputs[{index}]: a second tensor of the same name: send one."
            raise BadRequest(msg)
        else:
            columns[tensor.name] = tensor.values
    numbers = {name for name, numeric in zip(spec.names, spec.numeric, strict=True) if numeric}
    for tensor in tensors:  # a BOOL tensor says that its numbers are true and false
        if tensor.datatype == "BOOL":
            mine = [tensor.name] if tensor.name in columns else list(spec.names)
            for name in numbers.intersection(mine):
                columns[name] = [None if value is None else int(value) for value in columns[name]]
    return columns


def encode_infer(
    asked: InferRequest,
    model: str,
    version: str,
    predictions: list[Any],
    confidence: Sequence[float | None] | None,
) -> bytes:
    """The answer as the protocol writes it. A NaN, which JSON does not know, is written as null."""
    answer: dict[str, Any] = {"model_name": model, "model_version": version}
    if asked.id is not None:
        answer["id"] = asked.id
    datatype, data = output_tensor(predictions)
    tensors = {"predict": {"name": "predict", "datatype": datatype, "shape": [len(data)], "data": data}}
    if confidence is not None:
        tensors["confidence"] = {
            "name": "confidence",
            "datatype": "FP64",
            "shape": [len(confidence)],
            "data": list(confidence),
        }
    wanted = asked.outputs if asked.outputs is not None else OUTPUTS
    answer["outputs"] = [tensors[name] for name in wanted if name in tensors]
    return orjson.dumps(answer)


def output_tensor(values: list[Any]) -> tuple[str, list[Any]]:
    """The datatype that holds these answers, and the answers in it."""
    kinds = {type(value) for value in values} - {type(None)}
    for datatype, held in (("BOOL", {bool}), ("INT64", {int}), ("FP64", {float, int})):
        if kinds and kinds <= held:
            return datatype, values
    return ("BYTES", label_texts(values)) if kinds else ("FP64", values)


def error(sentence: str) -> bytes:
    """An error as the protocol writes it."""
    return orjson.dumps({"error": sentence})
