"""Write the model folder of a guessed schema: model.yaml, pipeline.py, README.md and a request."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from homeostat.config import format_duration
from homeostat.config.model import Feature
from homeostat.scaffold import build_of
from homeostat.scaffold.table_guess import TableGuess
from homeostat.scaffold.table_pace import Pace

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_YAML_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
#: Fewer training rows are never enough; model.yaml's defaults are lowered to a share of a short table.
_LEAST_ROWS, _USUAL_ROWS = 20, 1000


@dataclass(frozen=True, slots=True)
class Draft:
    """All that a new model folder is written from.

    ``history`` is the ``source.history`` block, ``data`` the table in messages, ``example`` one row's inputs,
    ``estimator`` one of :data:`~homeostat.scaffold.ESTIMATORS`.
    """

    name: str
    data: str
    guess: TableGuess
    pace: Pace
    history: Mapping[str, str]
    example: Mapping[str, float | str]
    estimator: str = "sklearn"


#: The file of a request to try, in the model's folder.
REQUEST_FILE = "request.json"


def min_rows_of(rows: int) -> int:
    """Return ``training.min_rows`` for so many labelled rows: the first 30 % suffice, without the holdout."""
    return max(_LEAST_ROWS, min(_USUAL_ROWS, rows // 5))


def write_files(draft: Draft, folder: Path) -> None:
    """Write model.yaml, pipeline.py, README.md and a request to try."""
    request = json.dumps({"dataframe_records": [dict(draft.example)]}, indent=1, ensure_ascii=False)
    (folder / REQUEST_FILE).write_text(request + "\n", encoding="utf-8")
    values = {"BUILD": _build(draft), **_values(draft)}
    for item in resources.files("homeostat.scaffold").joinpath("quickstart").iterdir():
        if item.name.endswith(".tmpl"):
            text = item.read_text(encoding="utf-8")
            for key, value in values.items():
                text = text.replace(f"__{key}__", value)
            (folder / item.name.removesuffix(".tmpl")).write_text(text, encoding="utf-8")


def _build(draft: Draft) -> str:
    """Return the functions of pipeline.py, which may have keys of :func:`_values`."""
    if draft.estimator == "sklearn":
        path = resources.files("homeostat.scaffold").joinpath("quickstart", "estimators", "sklearn.tmpl")
        return path.read_text(encoding="utf-8").rstrip("\n")
    build = build_of(draft.estimator).rstrip("\n")
    return build if draft.guess.task == "classification" else build.replace("Classifier", "Regressor")


def yaml_text(text: str) -> str:
    """Return a text as YAML reads it back: plain where it is a word, otherwise in quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in escaped) + '"'


def _values(draft: Draft) -> dict[str, str]:
    guess, pace = draft.guess, draft.pace
    least = min_rows_of(guess.rows)
    features = guess.features
    return {
        "MODEL": draft.name,
        "DATA": _one_line(draft.data),
        "TASK": guess.task,
        "HISTORY": _flow({key: yaml_text(value) for key, value in draft.history.items()}),
        "TIMESTAMP": _timestamp(guess),
        "LABEL": _label(guess, pace),
        "FEATURES": "\n".join(_feature(name, each, guess) for name, each in features.items()),
        "LEFT_OUT": _left_out(guess),
        "MONITOR": _flow({"every": format_duration(pace.every), "window": format_duration(pace.window)}),
        "TRIGGER": _flow({"consecutive": "3", "cooldown": format_duration(pace.cooldown)}),
        "TRAINING": _flow({"window": "{kind: auto}", "min_rows": str(least)}),
        "GATE": _flow({"metric": guess.metric, "min_training_rows": str(least)}),
        "NUMBERS": _names(features, "number"),
        "CATEGORIES": _names(features, "category"),
        "ESTIMATOR": f"HistGradientBoosting{'Classifier' if guess.task == 'classification' else 'Regressor'}",
    }


def _timestamp(guess: TableGuess) -> str:
    line = f"  timestamp: {yaml_text(guess.timestamp)}"
    return line + (
        f"\n  timestamp_format: {yaml_text(guess.timestamp_format)}" if guess.timestamp_format else ""
    )


def _label(guess: TableGuess, pace: Pace) -> str:
    parts = {"name": yaml_text(guess.label), "delay": format_duration(pace.delay)}
    if guess.classes:
        parts["classes"] = _list(guess.classes)
    return _flow(parts)


def _feature(name: str, feature: Feature, guess: TableGuess) -> str:
    parts: dict[str, str] = {"type": feature.type}
    if feature.range is not None:
        parts["range"] = f"[{', '.join(f'{end:.12g}' for end in feature.range)}]"
    if feature.categories is not None:
        parts["categories"] = _list(feature.categories)
    if not feature.required:
        parts["required"] = "false"
    ends = guess.found.get(name)
    found = f"  # found: {ends[0]:.6g} to {ends[1]:.6g}" if ends and math.isfinite(ends[0]) else ""
    return f"    {yaml_text(name)}: {_flow(parts)}{found}"


def _left_out(guess: TableGuess) -> str:
    if not guess.left_out:
        return ""
    lines = [f"  #   {_one_line(name)}: {_one_line(why)}" for name, why in guess.left_out.items()]
    return "\n".join(["\n  # Columns of the file that are not used, and why:", *lines])


def _names(features: Mapping[str, Feature], kind: str) -> str:
    """Return the names of features of one type as a Python list."""
    names = [name for name, feature in features.items() if feature.type == kind]
    short = f"[{', '.join(map(json.dumps, names))}]"
    if len(short) <= 90:
        return short
    return "[\n" + "".join(f"    {json.dumps(name)},\n" for name in names) + "]"


def _flow(parts: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in parts.items()) + "}"


def _list(texts: tuple[str, ...]) -> str:
    quote: Callable[[str], str] = yaml_text
    return f"[{', '.join(map(quote, texts))}]"


def _one_line(text: str) -> str:
    return " ".join(text.split())
