"""The folder of model folders: a path as it is, an S3 prefix as a copy."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from homeostat.adapters.store_keys import check_key
from homeostat.config.errors import ConfigError, NotFound, Refused, Unavailable
from homeostat.config.model_folders import FILE

if TYPE_CHECKING:
    from homeostat.adapters.store_s3 import S3Store

logger = logging.getLogger(__name__)

#: Beside a copy: the ETag of each object that is there, the last listing of the prefix, and the lock of both.
_INDEX, _LISTED, _LOCK = ".index.json", ".listed.json", ".lock"


def local_models(location: str, copies: Path, *, model: str = "", refresh: timedelta = timedelta(0)) -> Path:
    """Return a local folder with the models at ``location``.

    Parameters
    ----------
    location
        A folder, or ``s3://bucket/prefix``. Of a prefix, a copy is kept; objects are fetched whose ETag is
        not that of the copy.
    copies
        Where copies are kept; only this user can write there, since a model's folder has code.
    model
        Fetch this model only, and what belongs to no model; "" for all.
    refresh
        How old the last listing of the prefix may be; until then the prefix is not asked. While it does not
        respond, the copy is used as it is.

    Raises
    ------
    ConfigError
        There is no such folder, or nothing below the prefix.
    Unavailable
        The object store does not respond, and there is no copy of what is asked for.
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
    folder = copies / hashlib.sha256(location.encode()).hexdigest()[:16]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(folder):  # others wait, and then find what this one fetched
        _follow(location, folder, model, refresh)
    return folder


def _beside(folder: Path, ending: str) -> Path:
    return folder.with_name(folder.name + ending)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with _beside(folder, _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _follow(location: str, folder: Path, model: str, refresh: timedelta) -> None:
    from homeostat.adapters.store_s3 import S3Store

    place = urlsplit(location)
    store = S3Store(place.netloc, place.path.strip("/"))
    listed, copied = _read(_beside(folder, _LISTED)), _read(_beside(folder, _INDEX))
    tags = listed.get("tags", {})
    # A clock that was set back makes an old listing look new: it is not older than the limit in either way.
    if not tags or not abs(time.time() - listed.get("at", 0.0)) < refresh.total_seconds():
        try:
            tags = _list(location, folder, store)
        except Unavailable as error:
            if not tags:
                raise
            logger.warning("the models are those of the last copy: %s", error)
    wanted = _needed(tags, model)
    missing = {key for key in wanted if copied.get(key) != tags[key] or not (folder / key).is_file()}
    if missing or copied.keys() - tags.keys():
        _fetch(folder, store, sorted(missing), tags, copied)


def _list(location: str, folder: Path, store: S3Store) -> dict[str, str]:
    tags = {key: tag for key, tag in store.tags().items() if _can_be_copied(location, key)}
    if not tags:
        msg = f"no file below {location}: upload the model folders, such as {location}/my_model/model.yaml"
        raise ConfigError(msg)
    _write(_beside(folder, _LISTED), json.dumps({"at": time.time(), "tags": tags}).encode())
    return tags


def _can_be_copied(location: str, key: str) -> bool:
    """Leave out hidden files, such as .DS_Store, and names that are no path on every system."""
    try:
        check_key(key)
    except Refused as error:
        hidden = any(part.startswith(".") for part in key.split("/"))
        logger.log(logging.DEBUG if hidden else logging.WARNING, "%s: not copied: %s", location, error)
        return False
    return True


def _needed(tags: Mapping[str, str], model: str) -> set[str]:
    """Return the keys of one model, and those that are of no model; all for ""."""
    if not model:
        return set(tags)
    folders = {str(PurePosixPath(key).parent) for key in tags if PurePosixPath(key).name == FILE}
    others = {folder for folder in folders if PurePosixPath(folder).name != model}
    return {key for key in tags if others.isdisjoint(str(parent) for parent in PurePosixPath(key).parents)}


def _fetch(
    folder: Path, store: S3Store, missing: list[str], tags: Mapping[str, str], copied: dict[str, str]
) -> None:
    """Make the copy equal to the listing, file by file: other processes read it."""
    from homeostat.storage.parallel_map import parallel_map

    def fetch(key: str) -> None:
        try:
            _write(folder / key, store.get(key))
        except NotFound:  # deleted since it was listed
            return
        copied[key] = tags[key]

    there = copied.keys() if copied else _files(folder)
    for old in set(there) - tags.keys():
        (folder / old).unlink(missing_ok=True)
        copied.pop(old, None)
    try:
        parallel_map(fetch, missing)
    except Unavailable as error:
        if any(key not in copied for key in missing):
            raise
        logger.warning("the models are those of the last copy: %s", error)
    finally:
        _write(_beside(folder, _INDEX), json.dumps(copied).encode())


def _files(folder: Path) -> set[str]:
    """Return what is in a copy without an index, which an older release made."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):  # none yet, or half of one after a crash
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(number, "wb") as file:
        file.write(data)
    Path(name).replace(path)
