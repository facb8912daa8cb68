"""Load an estimator from the bytes of a skops file, if it is small enough and has only trusted types."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

from numpy.lib import format as npy

from homeostat.bundle.pipeline import ROOT, register_folder
from homeostat.bundle.trusted_types import TRUSTED_TYPES, check_trees, defined_in_model, how_to_trust
from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, OutOfMemory, Untrusted, UntrustedType

#: Limits of the unpacked size, of all entries and of the tree of types alone.
MAX_UNPACKED = 4 * 1024**3
MAX_SCHEMA = 256 * 1024**2
MAX_ENTRIES = 500_000
#: skops stores arrays uncompressed: only a zip bomb has a compression ratio above this.
MAX_RATIO = 100
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def load_estimator(
    data: bytes, path: Path, model: str, trusted_types: tuple[str, ...], config: ModelConfig | None = None
) -> Any:
    """Load an estimator from the bytes of a skops file.

    Raises
    ------
    Untrusted
        Not a skops file (a renamed pickle, for example), a zip bomb, an array larger than its data, a type
        that is not trusted (UntrustedType), or trees with invalid indices. ``path`` is for the message only.
    OutOfMemory
        This machine has too little memory.
    """
    from skops.io import loads

    _check_zip(data, path)
    try:
        unknown = untrusted_types(data, model, trusted_types, config)
        if unknown:
            raise UntrustedType(_unknown(path, unknown, model))
        estimator = loads(data, trusted=sorted(_types_in(data)))
        check_trees(estimator)
    except HomeostatError:
        raise
    except MemoryError:
        msg = f"{path}: needs more memory than this machine has: not loaded"
        raise OutOfMemory(msg) from None
    except Exception as error:
        # A broken or crafted file may make skops raise anything.
        msg = f"{path}: skops cannot read this model ({type(error).__name__}: {error}): not loaded"
        raise Untrusted(msg) from error
    return estimator


def untrusted_types(
    data: bytes, model: str, trusted_types: tuple[str, ...], config: ModelConfig | None = None
) -> list[str]:
    """Return the types in a skops file that neither the library, nor the operator, nor the model trusts.

    The operator's are ``trusted_types`` and those of the model's configuration.
    """
    strangers = _types_in(data)
    trusted = {*TRUSTED_TYPES, *trusted_types, *(config.trusted_types if config is not None else ())}
    return sorted(strangers - trusted - _own(strangers, model, config))


def _types_in(data: bytes) -> set[str]:
    """Return the types in a skops file that skops itself does not trust."""
    from skops.io import get_untrusted_types

    return set(get_untrusted_types(data=data))


def _own(strangers: set[str], model: str, config: ModelConfig | None) -> set[str]:
    """Return the types that the model's own files define, importing them from this machine's folder."""
    named = {name for name in strangers if name.startswith(f"{ROOT}.{model}.")}
    if named and config is not None:
        import importlib

        register_folder(config)
        for module in sorted({name.rpartition(".")[0] for name in named}):
            inner = module.split(".")[2:]
            if not all(part.isidentifier() for part in inner):
                continue  # a name from an untrusted file must not become a path
            if (config.folder / Path(*inner)).with_suffix(".py").is_file():
                importlib.import_module(module)
    return {name for name in named if defined_in_model(name, model)}


def _unknown(path: Path, unknown: list[str], model: str) -> str:
    fix = how_to_trust(unknown, model)
    if any(name.startswith(f"{ROOT}.{model}.") for name in unknown):
        fix = f"check that the folder of {model} is the one that it was trained with; otherwise, {fix}"
    return f"{path}: contains types that are not trusted: {', '.join(unknown)}. Nothing was loaded; {fix}"


_BROKEN = (zipfile.BadZipFile, zlib.error, ValueError, OSError, NotImplementedError, RuntimeError, EOFError)


def _check_zip(data: bytes, path: Path) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_size(data, path, entries, 0)
            # Unpack only now: sparse matrices are zip files inside the file.
            _check_size(data, path, entries, sum(_inner_size(archive, entry) for entry in entries))
    except _BROKEN as error:
        msg = f"{path}: is not a skops file ({error}): not loaded"
        raise Untrusted(msg) from error
    _check_names(path, entries)


def _check_size(data: bytes, path: Path, entries: list[zipfile.ZipInfo], inner: int) -> None:
    whole = sum(entry.file_size for entry in entries) + inner
    schema = sum(entry.file_size for entry in entries if entry.filename == "schema.json")
    small = whole <= MAX_UNPACKED and schema <= MAX_SCHEMA and len(entries) <= MAX_ENTRIES
    if not small or whole > max(MAX_RATIO * len(data), 1024**2):
        msg = f"{path}: {len(data)} bytes would unpack to {whole} in {len(entries)} entries: not loaded"
        raise Untrusted(msg)


def _inner_size(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Return the unpacked size of an entry that is a zip file (by the magic bytes that numpy checks)."""
    _check_array(archive, entry)
    with archive.open(entry) as file:
        if file.read(4) not in (b"PK\x03\x04", b"PK\x05\x06"):
            return 0
    with zipfile.ZipFile(io.BytesIO(archive.read(entry))) as inner:
        for each in inner.infolist():
            _check_array(inner, each)
        return sum(each.file_size for each in inner.infolist())


def _check_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Raise ValueError if an array claims more bytes than its entry has: numpy would reserve them."""
    with archive.open(entry) as file:
        if file.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
            return
        file.seek(0)
        read = _HEADERS.get(npy.read_magic(file))
        if read is None:
            return
        shape, _, kind = read(file)
        claimed = math.prod(shape) * kind.itemsize
        if not kind.hasobject and claimed > entry.file_size:  # numpy refuses objects itself
            msg = f"the array {entry.filename} claims {claimed} bytes and has {entry.file_size}"
            raise ValueError(msg)


def _check_names(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    schema = any(entry.filename == "schema.json" and entry.file_size for entry in entries)
    strange = [e.filename for e in entries if "/" in e.filename or "\\" in e.filename or ".." in e.filename]
    if strange or not schema:
        why = f"an entry named {strange[0]!r}" if strange else "no schema.json"
        msg = f"{path}: is not a skops file ({why}): not loaded"
        raise Untrusted(msg)
