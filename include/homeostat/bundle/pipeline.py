"""The user's own code: ``pipeline.py:build`` in the model's folder, or a function of an installed package."""

from __future__ import annotations

import hashlib
import importlib
import sys
import threading
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import PipelineError
from homeostat.config.extras import install_hint

#: Modules of model folders are imported under this name, so that files of two models are never confused.
ROOT = "homeostat_models"
_lock = threading.Lock()

_EXAMPLE = """def build():
    from sklearn.ensemble import HistGradientBoostingClassifier
    return HistGradientBoostingClassifier()"""


def load_pipeline(config: ModelConfig, spec: str | None = None) -> Callable[..., Any]:
    """Import the function that ``spec`` (default: the model's ``pipeline``) names.

    ``file.py:function`` is imported from the model's folder as ``homeostat_models.<model>.<file>``; other
    files of the folder can be imported relatively. When a file of the folder has changed, all of them are
    imported again. ``package.module:function`` is imported unchanged.

    Raises
    ------
    PipelineError
        The import failed, or there is no such function; the message names file, line and cause.
    """
    spec = spec or config.pipeline
    where, _, attribute = spec.rpartition(":")
    if not where or not attribute.isidentifier():
        msg = f"{config.folder}: pipeline {spec!r} is not FILE:FUNCTION, for example pipeline.py:build"
        raise PipelineError(msg)
    with _lock:
        module, path = _from_file(config, where) if where.endswith(".py") else (_import(where, where), where)
    found = getattr(module, attribute, None)
    if not callable(found):
        functions = ", ".join(name for name, value in vars(module).items() if _own(value, module)) or "none"
        msg = (
            f"{path}: has no function '{attribute}'; its functions: {functions}. Write for example"
            f"\n\n{_EXAMPLE}"
        )
        raise PipelineError(msg)
    loaded: Callable[..., Any] = found
    return loaded


def pipeline_name(config: ModelConfig, spec: str | None = None) -> str:
    """Return file and function of a pipeline, for messages."""
    spec = spec or config.pipeline
    return str(config.folder / spec) if spec.partition(":")[0].endswith(".py") else f"{config.name}: {spec}"


def register_folder(config: ModelConfig) -> str:
    """Make the model's folder importable as ``homeostat_models.<model>``; return that name."""
    name = f"{ROOT}.{config.name}"
    folder = config.folder.resolve()
    digest = _digest(folder)
    there = sys.modules.get(name)
    if there is not None and getattr(there, "__homeostat_digest__", None) == digest:
        return name
    for stale in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
        del sys.modules[stale]
    for package, path in ((ROOT, []), (name, [str(folder)])):
        if package not in sys.modules:
            module = types.ModuleType(package)
            module.__path__ = path
            sys.modules[package] = module
    sys.modules[name].__dict__["__homeostat_digest__"] = digest
    importlib.invalidate_caches()
    return name


def _from_file(config: ModelConfig, where: str) -> tuple[types.ModuleType, str]:
    folder = config.folder.resolve()
    path = (folder / where).resolve()
    if not path.is_relative_to(folder):
        msg = (
            f"{folder}: the pipeline {where!r} is outside the model's folder: move the file into it, or "
            "install it as a package and write package.module:function"
        )
        raise PipelineError(msg)
    if not path.is_file():
        msg = f"{path}: no such file; 'pipeline' in model.yaml names it. Write for example\n\n{_EXAMPLE}"
        raise PipelineError(msg)
    dotted = ".".join(path.relative_to(folder).with_suffix("").parts)
    return _import(f"{register_folder(config)}.{dotted}", str(path)), str(path)


def _import(name: str, where: str) -> types.ModuleType:
    # Cached byte code would hide an edit within the same second.
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        hint = install_hint(error)
        fix = f". Install it: {hint}" if hint else ""
        msg = f"{where}{_line(error, where)}: cannot be imported: {type(error).__name__}: {error}{fix}"
        raise PipelineError(msg) from error
    finally:
        sys.dont_write_bytecode = before


def _line(error: BaseException, where: str) -> str:
    """Return the line of the user's file that raised the error."""
    if isinstance(error, SyntaxError) and error.filename == where:
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == where]
    return f", line {lines[-1]}" if lines else ""


def _own(value: Any, module: types.ModuleType) -> bool:
    return isinstance(value, types.FunctionType) and value.__module__ == module.__name__


def _digest(folder: Path) -> str:
    lines = hashlib.sha256(str(folder).encode())
    for path in sorted(folder.rglob("*.py")):
        lines.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return lines.hexdigest()
