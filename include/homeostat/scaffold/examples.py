"""Demo models: where they are, and copies of them."""

from __future__ import annotations

import shutil
from pathlib import Path

from homeostat.config.errors import ConfigError
from homeostat.config.near_name import near_name
from homeostat.config.settings import CHECKOUT
from homeostat.scaffold import create_folder


def examples_folder() -> Path | None:
    """Return the folder of demo models, inside the package or of the checkout; None where there is none."""
    packed = Path(__file__).resolve().parents[1] / "examples"
    if packed.is_dir():
        return packed
    return CHECKOUT / "include" / "models" if CHECKOUT else None


def example_names() -> list[str]:
    """Return the names of the demo models: those with a demo.yaml."""
    folder = examples_folder()
    return sorted(path.parent.name for path in folder.glob("*/demo.yaml")) if folder else []


def copy_example(example: str, name: str, models_folder: Path) -> Path:
    """Copy a demo model into ``<models_folder>/<name>``, atomically; return the folder.

    Raises
    ------
    ConfigError
        There is no such example, or the name is invalid.
    AlreadyExists
        The folder exists; it is not changed.
    """
    source, names = examples_folder(), example_names()
    if source is None or example not in names:
        near = near_name(example, names)
        meant = f" (is it '{near}'?)" if near else ""
        msg = f"--example {example}: no such example{meant}; examples: {', '.join(names) or 'none here'}"
        raise ConfigError(msg)

    def write(folder: Path) -> None:
        shutil.copytree(
            source / example, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"), dirs_exist_ok=True
        )
        settings = folder / "model.yaml"
        text = settings.read_text(encoding="utf-8")
        settings.write_text(text.replace(f"name: {example}\n", f"name: {name}\n", 1), encoding="utf-8")

    return create_folder(name, models_folder, write)
