"""Find the folders of models below a folder, also in subfolders."""

from __future__ import annotations

import os
from pathlib import Path

FILE = "model.yaml"
#: A model's folder lies at most so many levels below the folder of models.
MAX_DEPTH = 5


def find_models(folder: Path) -> dict[str, list[Path]]:
    """Return the folders with a model.yaml by their own name, sorted; several where a name is there twice.

    A folder with a model.yaml is not searched further: what lies below belongs to the model. Hidden folders
    and ``__pycache__`` are left out. A folder that cannot be read has no models.
    """
    found: dict[str, list[Path]] = {}
    _search(folder, 0, found)
    return dict(sorted(found.items()))


def _search(folder: Path, depth: int, found: dict[str, list[Path]]) -> None:
    inner: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name == FILE and depth:
                    found.setdefault(folder.name, []).append(folder)
                    return
                if not entry.name.startswith((".", "__")) and entry.is_dir():
                    inner.append(entry.name)
    except OSError:
        return
    if depth < MAX_DEPTH:
        for name in sorted(inner):
            _search(folder / name, depth + 1, found)


def find_model(folder: Path, name: str) -> list[Path]:
    """Return the folders of one model; where it lies directly in ``folder``, without a search."""
    near = folder / name
    return [near] if (near / FILE).is_file() else find_models(folder).get(name, [])


def twice(name: str, folders: list[Path]) -> str:
    """Return the sentence for a name that several folders have."""
    where = ", ".join(str(folder) for folder in folders)
    return f"the model '{name}' is there {len(folders)} times ({where}): rename all but one"
