"""The folder of model folders: a path as it is, an S3 prefix as a copy."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from homeostat.config.errors import ConfigError


def local_models(location: str, copies: Path) -> Path:
    """Return a local folder with the models at ``location``.

    Parameters
    ----------
    location
        A folder, or ``s3://bucket/prefix``, of which files are copied that are new or have changed.
    copies
        Where copies are kept; only this user can write there, since a model's folder has code.

    Raises
    ------
    ConfigError
        There is no such folder, or nothing below the prefix.
    Unavailable
        The object store does not respond.
    """
    if "://" not in location:
        folder = Path(location)
        if not folder.is_dir():
            msg = f"the folder of models {location!r} does not exist: create it, or give another one"
            raise ConfigError(msg)
        return folder
    if not location.startswith("s3://"):
        msg = f"the folder of models is {location!r}: write a path or s3://bucket/prefix"
        raise ConfigError(msg)
    copies.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = copies / hashlib.sha256(location.encode()).hexdigest()[:16]
    _copy(location, folder)
    return folder


def _copy(location: str, folder: Path) -> None:
    """Make the folder equal to the prefix, file by file: other processes read it."""
    from homeostat.adapters.factory import open_store

    store = open_store(location)
    wanted = {key for key in store.list("") if not key.endswith("/")}
    if not wanted:
        msg = f"no file below {location}: upload the model folders, such as {location}/my_model/model.yaml"
        raise ConfigError(msg)
    for key in sorted(wanted):
        path = (folder / key).resolve()
        if not path.is_relative_to(folder.resolve()):
            msg = f"{location}: the key {key!r} leads out of the folder: rename it"
            raise ConfigError(msg)
        data = store.get(key)
        if path.is_file() and path.read_bytes() == data:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        with os.fdopen(number, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    for old in folder.rglob("*"):
        if old.is_file() and not old.name.startswith(".new-") and str(old.relative_to(folder)) not in wanted:
            old.unlink(missing_ok=True)
