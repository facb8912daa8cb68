"""Parse the JSON tensors of the Open Inference Protocol: datatypes, shapes, flat and nested data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from homeostat.serving.scoring_request import BadRequest

_FLOAT: frozenset[type] = frozenset({float, int, type(None)})
_FLOATS = {"FP16": 65504.0, "FP32": (2 - 2**-23) * 2.0**127, "FP64": math.inf}
_INTEGERS = {f"INT{n}": (-(2 ** (n - 1)), 2 ** (n - 1) - 1) for n in (8, 16, 32, 64)} | {
    f"UINT{n}": (0, 2**n - 1) for n in (8, 16, 32, 64)
}
DATATYPES = ("BOOL", *_INTEGERS, *_FLOATS, "BYTES")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input: name, shape, datatype, and the values in row-major order; a missing value is None."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    values: list[Any]


def read_tensor(raw: Any, index: int, max_rows: int) -> Tensor:
    """Parse one entry of ``inputs``.

    Raises
    ------
    BadRequest
        The message names the entry by its position, because a name that was sent may be anything.
    """
    where = f"inputs[{index}]"
    if not isinstance(raw, dict):
        msg = f"{where}: expected an object with name, shape, datatype and data."
        raise BadRequest(msg)
    name, datatype, data = raw.get("name"), raw.get("datatype"), raw.get("data")
    if not isinstance(name, str):
        msg = f"{where}: 'name' must be text."
        raise BadRequest(msg)
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        msg = f"{where}: 'datatype' must be one of {', '.join(DATATYPES)}."
        raise BadRequest(msg)
    shape = _shape(raw.get("shape"), where)
    if shape[0] > max_rows:
        msg = f"{where}: more than {max_rows} rows, the limit of one request."
        raise BadRequest(msg, 413)
    if not isinstance(data, list):
        binary = "" if data is not None else "; binary tensor data is not supported, send JSON"
        msg = f"{where}: 'data' must be a list, flat in row-major order or nested as in 'shape'{binary}."
        raise BadRequest(msg)
    check_parameters(raw, where)
    values = _flat(data, shape, where)
    _check(values, datatype, where)
    return Tensor(name, shape, datatype, values)


def check_parameters(raw: dict[str, Any], where: str) -> None:
    """Raise BadRequest if ``parameters``, which are not used, are given and not an object."""
    if not isinstance(raw.get("parameters"), (dict, type(None))):
        msg = f"{where}: 'parameters' must be an object."
        raise BadRequest(msg)


def _shape(raw: Any, where: str) -> tuple[int, ...]:
    if not isinstance(raw, list) or not 1 <= len(raw) <= 2 or not all(_is_size(size) for size in raw):
        msg = f"{where}: 'shape' must be one or two whole numbers, such as [3] or [3, 1]."
        raise BadRequest(msg)
    return tuple(raw)


def _is_size(size: Any) -> bool:
    return type(size) is int and 0 <= size < 2**63


def _flat(data: list[Any], shape: tuple[int, ...], where: str) -> list[Any]:
    """Return the values in row-major order; nested data must match the shape."""
    expected = math.prod(shape)
    if not any(isinstance(value, list) for value in data):
        if len(data) != expected:
            msg = f"{where}: 'data' has {len(data)} values, which does not match 'shape'."
            raise BadRequest(msg)
        return data
    wrong = len(shape) != 2 or len(data) != shape[0]
    if wrong or any(not isinstance(row, list) or len(row) != shape[1] for row in data):
        msg = f"{where}: nested 'data' does not match 'shape'."
        raise BadRequest(msg)
    flat = [value for row in data for value in row]
    if any(isinstance(value, list) for value in flat):
        msg = f"{where}: 'data' is nested deeper than 'shape'."
        raise BadRequest(msg)
    return flat


def _check(values: Sequence[Any], datatype: str, where: str) -> None:
    kinds = set(map(type, values))
    if datatype == "BYTES":
        if not kinds <= {str, type(None)}:
            raise _mistyped(values, (str, type(None)), where, "text (BYTES) or null")
    elif datatype == "BOOL":
        if not kinds <= {bool, type(None)}:
            raise _mistyped(values, (bool, type(None)), where, "true, false or null (BOOL)")
    elif datatype in _FLOATS:
        if not kinds <= _FLOAT:
            raise _mistyped(values, tuple(_FLOAT), where, f"numbers or null ({datatype})")
        largest = _FLOATS[datatype]
        if largest < math.inf:
            _check_range(values, -largest, largest, datatype, where)
    else:
        whole = f"whole numbers or null ({datatype})"
        if not kinds <= _FLOAT:
            raise _mistyped(values, tuple(_FLOAT), where, whole)
        low, high = _INTEGERS[datatype]
        # orjson parses a whole number of more than 64 bits as a float, possibly rounded into the range.
        if float in kinds and not all(_is_whole(value, low, high) for value in values):
            msg = f"{where}: expected {whole}; one value has a fraction or is too large."
            raise BadRequest(msg)
        _check_range(values, low, high, datatype, where)


def _is_whole(value: Any, low: int, high: int) -> bool:
    return type(value) is not float or (low <= value <= high and abs(value) < 2**63 and value == int(value))


def _check_range(values: Sequence[Any], low: float, high: float, datatype: str, where: str) -> None:
    for position, value in enumerate(values):
        if value is not None and not low <= value <= high:
            msg = f"{where}: value {position} is out of range for {datatype}."
            raise BadRequest(msg)


def _mistyped(values: Sequence[Any], allowed: tuple[type, ...], where: str, expected: str) -> BadRequest:
    position = next(i for i, value in enumerate(values) if type(value) not in allowed)
    return BadRequest(f"{where}: expected {expected}; value {position} has another type.")
