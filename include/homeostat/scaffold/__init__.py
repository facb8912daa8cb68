"""Create a model folder from the template, which runs without changes."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from homeostat.config.errors import AlreadyExists, ConfigError
from homeostat.config.model import ModelConfig

PLACEHOLDER, BUILD = "__MODEL__", "__BUILD__\n"
#: What ``build()`` of the template may return an estimator of; each has a file in ``estimators``.
ESTIMATORS = ("sklearn", "lightgbm", "xgboost", "catboost")


def new_model(name: str, models_folder: Path, estimator: str = "sklearn") -> Path:
    """Write ``<models_folder>/<name>`` from the template, atomically; return the folder.

    Parameters
    ----------
    estimator
        One of :data:`ESTIMATORS`.

    Raises
    ------
    ConfigError
        The name is invalid; the message suggests a valid one. Or there is no such estimator.
    AlreadyExists
        The folder exists; it is not changed.
    """
    require_estimator(estimator)

    def write(folder: Path) -> None:
        parts = resources.files("homeostat.scaffold")
        build = build_of(estimator)
        for item in parts.joinpath("template").iterdir():
            if item.name.endswith(".tmpl"):
                text = item.read_text(encoding="utf-8").replace(PLACEHOLDER, name).replace(BUILD, build)
                (folder / item.name.removesuffix(".tmpl")).write_text(text, encoding="utf-8")

    return create_folder(name, models_folder, write)


def require_estimator(estimator: str) -> None:
    """Raise ConfigError unless the estimator is one of :data:`ESTIMATORS`."""
    if estimator not in ESTIMATORS:
        msg = f"'{estimator}' is no estimator of the template: choose one of {', '.join(ESTIMATORS)}"
        raise ConfigError(msg)


def build_of(estimator: str) -> str:
    """Return the text of ``build()`` with one of :data:`ESTIMATORS`."""
    path = resources.files("homeostat.scaffold").joinpath("estimators", f"{estimator}.tmpl")
    return path.read_text(encoding="utf-8")


def create_folder(name: str, models_folder: Path, write: Callable[[Path], None]) -> Path:
    """Create a model folder with the files that ``write`` puts into it, atomically; return it.

    Raises
    ------
    ConfigError
        The name is invalid; the message suggests a valid one.
    AlreadyExists
        The folder exists; it is not changed.
    """
    folder = require_free_name(name, models_folder)
    models_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models_folder, prefix=".new-") as beside:
        unfinished = Path(beside) / name  # deeper than model folders, so that it is not loaded as one
        unfinished.mkdir()
        write(unfinished)
        try:
            unfinished.rename(folder)
        except OSError as error:
            msg = f"{folder} cannot be created ({error.strerror}); nothing was written"
            raise AlreadyExists(msg) from error
    return folder


def require_free_name(name: str, models_folder: Path) -> Path:
    """Return the folder of a new model; ConfigError for a bad name, AlreadyExists where it is taken."""
    if not re.fullmatch(_pattern(), name):
        near = valid_name(name)
        suggestion = f"; for example '{near}'" if near else ""
        msg = (
            f"'{name}' is not a valid model name: use lower-case letters, digits, '_' and '-', at most 63 "
            f"characters, a letter or digit first; the name is part of paths and URLs{suggestion}"
        )
        raise ConfigError(msg)
    folder = models_folder / name
    if folder.exists():
        msg = f"{folder} already exists and was not changed: choose another name, or move the folder away"
        raise AlreadyExists(msg)
    return folder


def valid_name(text: str) -> str:
    """Return a valid name that is like this text; empty for none."""
    near = re.sub(r"[^a-z0-9_-]+", "_", text.lower()).strip("_-")[:63]
    return near if re.fullmatch(_pattern(), near) else ""


def _pattern() -> str:
    """Return the pattern of ``name`` in model.yaml's schema, so that both checks are the same."""
    [pattern] = [
        item.pattern for item in ModelConfig.model_fields["name"].metadata if hasattr(item, "pattern")
    ]
    return str(pattern)
