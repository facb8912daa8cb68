"""Load model.yaml into a ModelConfig, with errors that name file, line and key."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from homeostat.config.errors import ConfigError, HomeostatError, NotFound
from homeostat.config.model import ModelConfig
from homeostat.config.model_folders import find_models, twice
from homeostat.config.strict_yaml import Positions, parse_yaml

MAX_BYTES = 256 * 1024  # a model.yaml of this size is a mistake or an attack


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge ``over`` into ``base``, mapping by mapping; all other values replace those of ``base``."""
    out = dict(base)
    for key, value in over.items():
        mine = out.get(key)
        out[key] = merge(mine, value) if isinstance(mine, Mapping) and isinstance(value, Mapping) else value
    return out


def load_model(path: Path, overrides: Mapping[str, Any] | None = None) -> ModelConfig:
    """Read and validate one ``model.yaml`` (or the folder that holds one).

    Parameters
    ----------
    path
        The file, or its folder.
    overrides
        Merged over the file before validation: ``{"*": {...}, "<model>": {...}}``, so that a staging or
        demonstration machine can run the same models with shorter durations.

    Raises
    ------
    ConfigError
        Malformed YAML, an unknown key (with the nearest known one), or an invalid value; the message names
        the file, the line and the key.
    NotFound
        There is no such file.
    """
    path = path / "model.yaml" if path.is_dir() else path
    raw, positions = _read(path)
    for scope in ("*", str(raw.get("name"))):
        raw = merge(raw, (overrides or {}).get(scope) or {})
    try:
        config = ModelConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError("\n".join(_sentences(path, error, positions))) from None
    if path.parent.name != config.name:
        line = positions.get(("name",), 1)
        msg = (
            f"{path}, line {line}: name is '{config.name}' but the folder is '{path.parent.name}': rename "
            "one of them, so that no two models have the same name"
        )
        raise ConfigError(msg)
    config._folder = path.parent.resolve()  # noqa: SLF001  # set once, where it is read
    return config


def _read(path: Path) -> tuple[dict[str, Any], Positions]:
    absent = f"{path}: no such file; 'homeostat new MODEL' writes a model that runs"
    try:
        if path.exists() and path.stat().st_size > MAX_BYTES:
            msg = f"{path}: larger than {MAX_BYTES // 1024} KB: not read"
            raise ConfigError(msg)
        raw, positions = _parse_file(path, NotFound(absent))
    except RecursionError:
        msg = f"{path}: nested too deeply; model.yaml has at most four levels"
        raise ConfigError(msg) from None
    if not isinstance(raw, dict):
        msg = f"{path}: expected keys such as 'name: my_model', found {type(raw).__name__}"
        raise ConfigError(msg)
    return raw, positions


def _parse_file(path: Path, absent: HomeostatError) -> tuple[Any, Positions]:
    """Parse a YAML file; errors name the file. Raises ``absent`` when it does not exist."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise absent from None
    except ConfigError as error:
        raise ConfigError("\n".join(f"{path}, {line}" for line in str(error).splitlines())) from None
    except UnicodeDecodeError as error:
        msg = f"{path}: not UTF-8 text ({error.reason} at byte {error.start})"
        raise ConfigError(msg) from None
    except yaml.YAMLError as error:
        raise ConfigError(_yaml_sentence(path, error)) from None


def load_models(folder: Path, overrides: Mapping[str, Any] | None = None) -> dict[str, ModelConfig]:
    """Load every model.yaml below a folder, by name; raises what :func:`load_model` raises."""
    for name, folders in (found := find_models(folder)).items():
        if len(folders) > 1:
            raise ConfigError(twice(name, folders))
    return {name: load_model(path, overrides) for name, (path,) in found.items()}


def try_model(
    name: str, folders: list[Path], overrides: Mapping[str, Any] | ConfigError
) -> ModelConfig | tuple[str, str]:
    """Return the model of these folders; where it cannot be read, its name and the error.

    Whatever is wrong with it, also what this module does not foresee, is an error of this model alone.
    """
    if len(folders) > 1:
        return name, twice(name, folders)
    try:
        if isinstance(overrides, ConfigError):
            raise overrides
        return load_model(folders[0], overrides)
    except HomeostatError as error:
        return name, str(error)
    except Exception as error:  # noqa: BLE001  # see above
        return name, f"{folders[0] / 'model.yaml'}: {type(error).__name__}: {error}"


def load_overrides(path: str | os.PathLike[str] | None) -> dict[str, Any]:
    """Read the overrides file that ``HOMEOSTAT_OVERRIDES`` names; {} without one."""
    if not path:
        return {}
    absent = ConfigError(f"{path}: no such file; correct HOMEOSTAT_OVERRIDES, which names it")
    raw, _ = _parse_file(Path(path), absent)
    if not isinstance(raw or {}, dict) or not all(isinstance(value, dict) for value in (raw or {}).values()):
        msg = f"{path}: expected model names (or '*') with settings, as in '*: {{shadow: {{duration: 10s}}}}'"
        raise ConfigError(msg)
    return raw or {}


def _yaml_sentence(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{path}{where}: not valid YAML: {getattr(error, 'problem', None) or error}"


def _sentences(path: Path, error: ValidationError, positions: Positions) -> Iterator[str]:
    for item in error.errors(include_url=False):
        where = tuple(part for part in item["loc"] if not str(part).startswith("function-"))
        where = where or _named(str(item["msg"]), positions)
        key = ".".join(str(part) for part in where) or "model.yaml"
        line = next((positions[where[:n]] for n in range(len(where), -1, -1) if where[:n] in positions), 1)
        yield f"{path}, line {line}, {key}: {_reason(item, where)}"


def _named(message: str, positions: Positions) -> tuple[str | int, ...]:
    """Return the key that a message about the whole model begins with, as in ``gate.slices: ...``."""
    key = tuple(message.removeprefix("Value error, ").partition(": ")[0].split("."))
    return key if key in positions else ()


def _reason(item: Mapping[str, Any], where: tuple[Any, ...]) -> str:
    if item["type"] == "extra_forbidden":
        known = _keys_at(where[:-1])
        near = difflib.get_close_matches(str(where[-1]), known, n=1, cutoff=0.5)
        fix = f"did you mean '{near[0]}'?" if near else f"known keys here: {', '.join(sorted(known))}"
        return f"unknown key; {fix}"
    if item["type"] == "missing":
        return f"missing; write for example {_example(where)}"
    message = str(item["msg"]).removeprefix("Value error, ")
    message = message.removeprefix(f"{'.'.join(map(str, where))}: ")  # it is said already
    message = message[:1].lower() + message[1:]
    found = item.get("input")
    shown = "" if isinstance(found, dict | BaseModel) else f" (found {found!r})"
    if item["type"] == "string_type" and isinstance(found, bool):
        word = "yes, on or true" if found else "no, off or false"
        return f"YAML reads an unquoted {word} as {str(found).lower()}: quote the text"
    if item["type"] == "string_type" and isinstance(found, (int, float, date)):
        kind = "date" if isinstance(found, date) else "number"
        return f"expected text, and YAML reads this as a {kind}: quote it, as in '{found}'"
    if where == ("name",) and item["type"] == "string_pattern_mismatch":
        message = "use only lower-case letters, digits, '_' and '-': the name is part of paths and URLs"
    elif where == ("pipeline",) and item["type"] == "string_pattern_mismatch":
        message = "write FILE:FUNCTION, for example pipeline.py:build"
    return message + shown


def _keys_at(where: tuple[Any, ...]) -> list[str]:
    """Return the keys of model.yaml at a path, as its users write them."""
    section: Any = ModelConfig
    for part in where:
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            break
        for name, field in section.model_fields.items():
            if part in (name, field.alias):
                section = _section_in(field.annotation) or section
                break
    return [field.alias or name for name, field in section.model_fields.items()]


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in getattr(annotation, "__args__", ()) if (found := _section_in(arg))), None)


def _example(where: tuple[Any, ...]) -> str:
    examples = {
        ("name",): "name: my_model",
        ("task",): "task: classification",
        ("pipeline",): "pipeline: pipeline.py:build",
        ("source",): "source: {kind: csv, uri: data/rows.csv}",
        ("schema",): "schema: {timestamp: timestamp, label: {name: y}, features: {x: {type: number}}}",
        ("schema", "label"): "label: {name: y, delay: 24h}",
        ("schema", "features"): "features: {temp: {type: number, range: [0, 1]}}",
    }
    last = where[-1] if where else "name"
    return examples.get(where, f"{last}: number" if last == "type" else f"{last}: ...")
