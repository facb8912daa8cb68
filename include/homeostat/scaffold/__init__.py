"""A model folder from the template, which works as it stands."""

from __future__ import annotations

import re
import tempfile
from importlib import resources
from pathlib import Path

from homeostat.config.errors import AlreadyExists, ConfigError
from homeostat.config.model import ModelConfig

PLACEHOLDER = "__MODEL__"


def new_model(name: str, models_folder: Path) -> Path:
    """Write ``<models_folder>/<name>`` from the template, whole or not at all; returns the folder.

    Raises
    ------
    ConfigError
        The name cannot be one; the message proposes another.
    AlreadyExists
        There is such a folder; nothing in it is touched.
    """
    if not re.fullmatch(_pattern(), name):
        near = re.sub(r"[^a-z0-9_-]+", "_", name.lower()).strip("_-")[:63]
        cure = f"; '{near}' would do" if re.fullmatch(_pattern(), near) else ""
        msg = (
            f"'{name}' cannot be a model's name: lower-case letters, digits, '_' and '-' only, at most 63, "
            f"and not '_' or '-' first, because it becomes part of paths and URLs{cure}"
        )
        raise ConfigError(msg)
    folder = models_folder / name
    if folder.exists():
        msg = f"{folder} is there already and stays as it is: choose another name, or move that folder away"
        raise AlreadyExists(msg)
    models_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models_folder, prefix=".new-") as beside:
        unfinished = Path(beside) / name  # a level deeper than where models are looked for
        unfinished.mkdir()
        for item in resources.files("homeostat.scaffold").joinpath("template").iterdir():
            if item.name.endswith(".tmpl"):
                text = item.read_text(encoding="utf-8").replace(PLACEHOLDER, name)
                (unfinished / item.name.removesuffix(".tmpl")).write_text(text, encoding="utf-8")
        try:
            unfinished.rename(folder)
        except OSError as error:
            msg = f"{folder} cannot be made ({error.strerror}); nothing was written"
            raise AlreadyExists(msg) from error
    return folder


def _pattern() -> str:
    """What model.yaml itself says a name may be, so that the two never differ."""
    [pattern] = [
        item.pattern for item in ModelConfig.model_fields["name"].metadata if hasattr(item, "pattern")
    ]
    return str(pattern)
