"""JSON Schemas of one model's requests, compiled from its model.yaml.

A schema cannot express "every list as long as the others" or "as many values as the shape has". Where that
matters the schema describes one row, and the description says how to send several.
"""

from __future__ import annotations

import re
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.model import Label
from homeostat.serving.http.protocols.openinference import MAX_ID, OUTPUTS
from homeostat.serving.http.protocols.tensors import DATATYPES
from homeostat.serving.recorder import labels as posted_labels
from homeostat.serving.scoring_request import InputSpec

Schema = dict[str, Any]

_PLAIN = re.compile(r"[A-Za-z0-9_]+")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,14}")
_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_NUMBER: Schema = {"type": ["number", "null"]}
_CATEGORY: Schema = {"type": ["string", "number", "boolean", "null"]}
_TIME: Schema = {"anyOf": [{"type": "string", "format": "date-time"}, {"enum": ["", None]}]}
_PARAMS: Schema = {
    "description": "predict_proba: true returns each row's class probabilities as its prediction, classes: "
    "true the classes in their order. Other parameters are ignored, as by MLflow's server."
}
_TENSORS = {
    "FP64": {"type": ["number", "null"]},
    "INT64": {"type": ["integer", "null"], "minimum": -(2**63), "maximum": 2**63 - 1},
    "BOOL": {"type": ["boolean", "null"]},
    "BYTES": {"type": ["string", "null"]},
}


def example_row(spec: InputSpec) -> dict[str, Any]:
    """Return one valid row."""
    pairs = zip(spec.names, spec.numeric, spec.categories, strict=True)
    return {name: 0.5 if numeric else min(known or {"text"}) for name, numeric, known in pairs}


def scoring(spec: InputSpec) -> Schema:
    """Return the schema of MLflow's JSON: exactly one of the four forms."""
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
        "description": "Columns in any order; optional ones may be omitted.",
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
    """Return a pattern for MLflow's CSV: plain cells, columns in the order of model.yaml."""
    number, text = r"(-?[0-9]{1,9}(\.[0-9]{1,9})?)?", "[A-Za-z0-9_-]{0,20}"
    cells = ",".join(number if numeric else text for numeric in spec.numeric)
    schema: Schema = {
        "type": "string",
        "description": "A header row, then one row per line, quoted as in RFC 4180; empty cells are missing.",
    }
    if all(_PLAIN.fullmatch(name) for name in spec.names):  # other names need quotes
        schema["pattern"] = f"^{','.join(map(re.escape, spec.names))}\\n({cells}\\n){{1,20}}$"
    return schema


def infer(spec: InputSpec) -> Schema:
    """Return the schema of an infer request: a tensor for each feature."""
    kinds = {True: ("FP64", "INT64", "BOOL"), False: ("BYTES",)}
    tensors = {
        name: _tensor({"const": name}, kinds[numeric])
        for name, numeric in zip(spec.names, spec.numeric, strict=True)
    }
    extra = _tensor({"type": "string", "not": {"enum": list(spec.names)}}, tuple(_TENSORS))
    inputs = _ordered(list(tensors.values()), extra)
    if len(spec.required) < len(spec.names):
        required = [tensors[name] for name in spec.names if name in spec.required]
        inputs = {"anyOf": [inputs, _ordered(required, extra)]}
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
    """Return an infer request with :func:`example_row`."""
    row = example_row(spec)
    pairs = zip(spec.names, spec.numeric, strict=True)
    return {
        "id": "42",
        "inputs": [
            {"name": n, "shape": [1], "datatype": "FP64" if numeric else "BYTES", "data": [row[n]]}
            for n, numeric in pairs
        ],
    }


def labels(config: ModelConfig) -> Schema:
    """Return the schema of a label request."""
    label: Schema = {"type": "number"}
    if config.task == "classification":
        label = _label_of(config.columns.label)
    one = {
        "type": "object",
        "required": ["id", "label"],
        "properties": {
            "id": {
                "type": "string",
                "pattern": f"^[{posted_labels.ID_CHARACTERS}]{{1,{posted_labels.MAX_ID}}}$",
                "description": "The prediction's id.",
            },
            "label": label,
            "at": _TIME,
        },
    }
    return {
        "type": "object",
        "required": ["labels"],
        "properties": {"labels": {"type": "array", "items": one}},
    }


def _label_of(label: Label) -> Schema:
    if label.classes is None:
        return {
            "anyOf": [{"type": "string", "minLength": 1}, {"type": ["number", "boolean"]}],
            "description": "A class of the served versions.",
        }
    spellings: list[Any] = [*label.classes, *label.mapping]
    numbers = [int(text) for text in spellings if _INTEGER.fullmatch(text)]
    booleans = [value for value in (True, False) if int(value) in numbers]
    return {"enum": [*spellings, *numbers, *booleans]}


def _cells(spec: InputSpec) -> dict[str, Schema]:
    cells: dict[str, Schema] = {}
    for name, numeric, known in zip(spec.names, spec.numeric, spec.categories, strict=True):
        listed = {"description": f"Listed in model.yaml: {', '.join(sorted(known)[:20])}."} if known else {}
        cells[name] = _NUMBER if numeric else _CATEGORY | listed
    cells[spec.timestamp] = _TIME | {"description": "Not in the future; UTC unless it has an offset."}
    if spec.key:
        cells[spec.key] = _CATEGORY | {
            "description": "The routing key: rows with the same key go to the same version."
        }
    return cells


def _record(spec: InputSpec, cells: dict[str, Schema]) -> Schema:
    required = [name for name in spec.names if name in spec.required]
    return {"type": "object", "required": required, "properties": cells}


def _ordered(items: list[Schema], extra: Schema | None = None) -> Schema:
    """A list of these items in this order; ``extra`` describes further ones, if they are allowed."""
    array: Schema = {"type": "array", "prefixItems": items, "minItems": len(items)}
    return array | ({"items": extra} if extra else {"items": False, "maxItems": len(items)})


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
