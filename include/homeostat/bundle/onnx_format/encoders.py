"""Write imputers and one-hot encoders with operators of doubles and texts.

ONNX Runtime has an imputer of float32 only, and skl2onnx's encoder knows no infrequent categories.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from homeostat.bundle.onnx_format.checks import ML
from homeostat.bundle.onnx_format.graph import add_constant, add_node

#: Numbers in the table of one feature, categories times columns made, at most.
MAX_TABLE = 1 << 22
_UNSEEN = "\x00"


def imputed_shape(operator: Any) -> None:
    """Set the type of an imputer's output: the columns, and those that say where a value was missing."""
    imputer = operator.raw_operator
    more = len(imputer.indicator_.features_) if imputer.indicator_ is not None else 0
    _set_width(operator, len(imputer.statistics_) + more)


def encoded_shape(operator: Any) -> None:
    """Set the type of an encoder's output: a column for each category that it tells apart."""
    _set_width(operator, sum(made.shape[1] for _, made in _tables(operator.raw_operator)))


def convert_imputer(scope: Any, operator: Any, container: Any) -> None:
    """Replace missing numbers, and add the columns that say where they were."""
    from onnx import TensorProto

    imputer = operator.raw_operator
    values = np.asarray(imputer.statistics_)
    numbers = values.dtype.kind == "f" and pd.isna(imputer.missing_values)
    if not numbers or np.isnan(values).any():
        msg = "it imputes something else than missing numbers, or a column without any"
        raise ValueError(msg)
    inputs = [
        add_node(scope, container, "Cast", [each.full_name], to=TensorProto.DOUBLE)
        for each in operator.inputs
    ]
    whole = add_node(scope, container, "Concat", inputs, axis=1)
    missing = add_node(scope, container, "IsNaN", [whole])
    filling = add_constant(scope, container, values.reshape(1, -1).astype(np.float64))
    output = operator.outputs[0].full_name
    if imputer.indicator_ is None:
        add_node(scope, container, "Where", [missing, filling, whole], output=output)
        return
    filled = add_node(scope, container, "Where", [missing, filling, whole])
    chosen = add_constant(scope, container, np.asarray(imputer.indicator_.features_, dtype=np.int64))
    said = add_node(scope, container, "Gather", [missing, chosen], axis=1)
    said = add_node(scope, container, "Cast", [said], to=TensorProto.DOUBLE)
    add_node(scope, container, "Concat", [filled, said], output=output, axis=1)


def convert_one_hot(scope: Any, operator: Any, container: Any) -> None:
    """Look up each text among the categories, and its row in the table of what each is encoded as."""
    tables = _tables(operator.raw_operator)
    inputs = [each.full_name for each in operator.inputs]
    whole = inputs[0] if len(inputs) == 1 else add_node(scope, container, "Concat", inputs, axis=1)
    found = []
    for at, (known, made) in enumerate(tables):
        column = add_node(
            scope, container, "Gather", [whole, add_constant(scope, container, np.array([at]))], axis=1
        )
        texts = [each.encode() for each in known.tolist()]
        code = add_node(
            scope,
            container,
            "LabelEncoder",
            [column],
            op_domain=ML,
            op_version=2,
            keys_strings=texts,
            values_int64s=list(range(len(known))),
            default_int64=len(known),
        )
        row = add_node(scope, container, "Gather", [add_constant(scope, container, made), code], axis=0)
        shape = add_constant(scope, container, np.array([-1, made.shape[1]]))
        found.append(add_node(scope, container, "Reshape", [row, shape]))
    add_node(scope, container, "Concat", found, output=operator.outputs[0].full_name, axis=1)


def _tables(encoder: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the categories of each column, and what the encoder makes of each and of an unseen one.

    Shapes: (categories,) and (categories + 1, columns made).

    Raises
    ------
    ValueError
        The categories are no texts or too many, or an unseen one is an error.
    """
    categories = encoder.categories_
    if any(each.dtype != object for each in categories):
        msg = "its categories are no texts"
        raise ValueError(msg)
    widths = np.concatenate([[0], np.cumsum(encoder._n_features_outs)])  # noqa: SLF001  # not public
    found = []
    for at, known in enumerate(categories):
        if (len(known) + 1) * (widths[at + 1] - widths[at]) > MAX_TABLE:
            msg = f"one of its features has {len(known)} categories"
            raise ValueError(msg)
        rows = np.array([[each[0] for each in categories]] * (len(known) + 1), dtype=object)
        rows[:, at] = [*known, _UNSEEN]
        made = encoder.transform(rows)
        made = np.asarray(made.toarray() if hasattr(made, "toarray") else made, dtype=np.float64)
        found.append((known, made[:, widths[at] : widths[at + 1]]))
    return found


def _set_width(operator: Any, width: int) -> None:
    from skl2onnx.common.data_types import DoubleTensorType

    operator.outputs[0].type = DoubleTensorType([None, width])
