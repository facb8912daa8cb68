"""Add constants and nodes to the graph that skl2onnx builds."""

from __future__ import annotations

from typing import Any

import numpy as np

from homeostat.bundle.onnx_format.checks import ML

#: Versions of the operator sets that skl2onnx knows.
OPSETS = {"": 18, ML: 3}


def add_constant(scope: Any, container: Any, values: np.ndarray) -> str:
    """Add an array; return its name."""
    from onnx import TensorProto, helper

    name = scope.get_unique_variable_name("constant")
    texts = values.dtype == object
    kind = TensorProto.STRING if texts else helper.np_dtype_to_tensor_dtype(values.dtype)
    flat = values.ravel().tolist()
    container.add_initializer(
        name, kind, list(values.shape), [each.encode() for each in flat] if texts else flat
    )
    return str(name)


def add_node(  # what an ONNX node consists of
    scope: Any,
    container: Any,
    kind: str,
    inputs: list[str],
    *,
    output: str = "",
    op_version: int = OPSETS[""],
    **more: Any,
) -> str:
    """Add an operator; return the name of its output."""
    output = output or scope.get_unique_variable_name(kind.lower())
    name = scope.get_unique_operator_name(kind)
    container.add_node(kind, inputs, output, op_version=op_version, name=name, **more)
    return output
