"""JSON Schemas of what one model's requests hold, compiled from its model.yaml.

A schema cannot say "every list as long as the others" or "as many values as the shape asks for". Where
that matters the schema shows one row, and the description says how several are sent.
"""

from __future__ import annotations

import re
from typing import Any

from homeostat.serving.http.protocols.openinference import MAX_ID, OUTPUTS
from homeostat.serving.http.protocols.tensors import DATATYPES
from homeostat.serving.scoring_request import InputSpec

Schema = dict[str, Any]

_PLAIN = re.compile(r"[A-Za-z0-9_]+")
_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_NUMBER: Schema = {"type": ["number", "null"]}
_CATEGORY: Schema = {"type": ["string", "number", "boolean", "null"]}
_TIME: Schema = {"anyOf": [{"type": "string", "format": "date-time"}, {"enum": ["", None]}]}
_PARAMS: Schema = {"description": "Accepted as MLflow's server accepts it, and not used."}
_TENSORS = {
    "FP64": {"type": ["number", "null"]},
    "INT64": {"type": ["integer", "null"], "minimum": -(2**63), "maximum": 2**63 - 1},
    "BOOL": {"type": ["boolean", "null"]},
    "BYTES": {"type": ["string", "null"]},
}


def example_row(spec: InputSpec) -> dict[str, Any]:
    """One row that the model's schema knows."""
    pairs = zip(spec.names, spec.numeric, spec.categories, strict=True)
    return {name: 0.5 if numeric else min(known or {"text"}) for name, numeric, known in pairs}


def scoring(spec: InputSpec) -> Schema:
    """MLflow's JSON: exactly one of the four forms."""
    cells = _cells(spec)
    row = _record(spec, cells)
    ordered = _ordered([cells[name] for name in spec.names])
    records = {"type": "array", "minItems": 1, "items": row}
    rows = {"anyOf": [records, {"type": "array", "minItems": 1, "items": ordered}]}
    one = {
        name: {"anyOf": [cell, {"type": "array", "minItems": 1, "maxItems": 1, "items": cell}]}
        for name, cell in cells.items()
    }
    columns = {
        "type": "object",
        "description": "A list for each column, all equally long; or one value for each.",
        "required": row["required"],
        "properties": one,
        "additionalProperties": {"type": ["string", "number", "boolean", "null", "object"]},
    }
    split = {
        "type": "object",
        "required": ["columns", "data"],
        "description": "Columns may stand in any order; optional ones may be left out.",
        "properties": {
            "columns": {"const": list(spec.names)},
            "data": {"type": "array", "minItems": 1, "items": ordered},
        },
    }
    bodies = {
        "dataframe_split": split,
        "dataframe_records": records,
        "instances": rows,
        "inputs": {"anyOf": [columns, *rows["anyOf"]]},
    }
    return {
        "type": "object",
        "description": "Exactly one of the four forms of MLflow's scoring protocol.",
        "oneOf": [
            {
                "type": "object",
                "required": [form],
                "properties": {form: bodies[form], "params": _PARAMS}
                | dict.fromkeys(set(_FORMS) - {form}, False),
            }
            for form in _FORMS
        ],
    }


def csv_text(spec: InputSpec) -> Schema:
    """MLflow's CSV, as a pattern: plain cells, columns in the order of model.yaml."""
    number, text = r"(-?[0-9]{1,9}(\.[0-9]{1,9})?)?", "[A-Za-z0-9_-]{0,20}"
    cells = ",".join(number if numeric else text for numeric in spec.numeric)
    schema: Schema = {
        "type": "string",
        "description": "A header row, then one row a line; quotes as in RFC 4180; an empty cell is missing.",
    }
    if all(_PLAIN.fullmatch(name) for name in spec.names):  # others need quotes, which no pattern should hold
        schema["pattern"] = f"^{','.join(map(re.escape, spec.names))}\\n({cells}\\n){{1,20}}$"
    return schema


def infer(spec: InputSpec) -> Schema:
    """An infer request of the Open Inference Protocol: a tensor for each feature."""
    kinds = {True: ("FP64", "INT64", "BOOL"), False: ("BYTES",)}
    tensors = {
        name: _tensor({"const": name}, kinds[numeric])
        for name, numeric in zip(spec.names, spec.numeric, strict=True)
    }
    surplus = _tensor({"type": "string", "not": {"enum": list(spec.names)}}, tuple(_TENSORS))
    inputs = _ordered(list(tensors.values()), surplus)
    if len(spec.required) < len(spec.names):
        fewest = [tensors[name] for name in spec.names if name in spec.required]
        inputs = {"anyOf": [inputs, _ordered(fewest, surplus)]}
    return {
        "type": "object",
        "required": ["inputs"],
        "description": (
            "One tensor of shape [n] or [n, 1] for each feature, in any order, or one of shape "
            f"[n, {len(spec.names)}] for all. Datatypes: {', '.join(DATATYPES)}."
        ),
        "properties": {
            "id": {"type": ["string", "null"], "maxLength": MAX_ID},
            "parameters": {"type": ["object", "null"]},
            "inputs": inputs,
            "outputs": {
                "type": ["array", "null"],
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"enum": list(OUTPUTS)},
                        "parameters": {"type": ["object", "null"]},
                    },
                },
            },
        },
    }


def infer_example(spec: InputSpec) -> dict[str, Any]:
    """An infer request for :func:`example_row`."""
    row = example_row(spec)
    pairs = zip(spec.names, spec.numeric, strict=True)
    return {
        "id": "42",
        "inputs": [
            {"name": n, "shape": [1], "datatype": "FP64" if numeric else "BYTES", "data": [row[n]]}
            for n, numeric in pairs
        ],
    }


def labels(task: str) -> Schema:
    """What ``/models/{model}/labels`` takes."""
    label: Schema = {"type": "number"}
    if task == "classification":
        label = {"anyOf": [{"type": "string", "minLength": 1}, {"type": ["number", "boolean"]}]}
    one = {
        "type": "object",
        "required": ["id", "label"],
        "properties": {
            "id": {"type": "string", "minLength": 1, "maxLength": 160, "description": "The prediction's id."},
            "label": label,
            "at": _TIME,
        },
    }
    return {
        "type": "object",
        "required": ["labels"],
        "properties": {"labels": {"type": "array", "items": one}},
    }


def _cells(spec: InputSpec) -> dict[str, Schema]:
    cells: dict[str, Schema] = {}
    for name, numeric, known in zip(spec.names, spec.numeric, spec.categories, strict=True):
        told = {"description": f"Known: {', '.join(sorted(known)[:20])}."} if known else {}
        cells[name] = _NUMBER if numeric else _CATEGORY | told
    cells[spec.timestamp] = _TIME | {"description": "Not in the future; without an offset it is UTC."}
    if spec.key:
        cells[spec.key] = _CATEGORY | {"description": "What routing sticks to."}
    return cells


def _record(spec: InputSpec, cells: dict[str, Schema]) -> Schema:
    required = [name for name in spec.names if name in spec.required]
    return {"type": "object", "required": required, "properties": cells}


def _ordered(items: list[Schema], surplus: Schema | None = None) -> Schema:
    """A list of these, in this order; what may follow them, if anything may."""
    array: Schema = {"type": "array", "prefixItems": items, "minItems": len(items)}
    return array | ({"items": surplus} if surplus else {"items": False, "maxItems": len(items)})


def _tensor(name: Schema, datatypes: tuple[str, ...]) -> Schema:
    return {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": name,
            "shape": {"enum": [[1], [1, 1]]},
            "parameters": {"type": ["object", "null"]},
        },
        "anyOf": [
            {
                "properties": {
                    "datatype": {"const": datatype},
                    "data": {"type": "array", "minItems": 1, "maxItems": 1, "items": _TENSORS[datatype]},
                }
            }
            for datatype in datatypes
        ],
    }
