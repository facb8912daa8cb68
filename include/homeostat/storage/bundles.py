"""Bundles in the Store, each under its digest, written once.

bundles/<model>/<digest>/{model.skops, reference.bin, manifest.json}
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, NotFound, Untrusted
from homeostat.ports import Ports, Store

if TYPE_CHECKING:
    from homeostat.bundle.files import Bundle
    from homeostat.core.profile import Reference

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"


def put_bundle(store: Store, model: str, digest: str, folder: Path) -> None:
    """Copy a bundle folder into the Store under its digest, all files or none; the manifest comes last.

    A retry of the same retrain fits again and so has another digest: files of a failed attempt are deleted,
    or they would stay for ever. Files of a killed process stay, but nothing refers to them and they lack a
    manifest.
    """
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda p: p.name == MANIFEST)
    keys = [f"bundles/{model}/{digest}/{path.relative_to(folder).as_posix()}" for path in files]
    existing = set(store.list(f"bundles/{model}/{digest}/"))
    try:
        for key, path in zip(keys, files, strict=True):
            store.put(key, path.read_bytes())
    except Exception:
        with suppress(HomeostatError):
            for key in set(keys) - existing:
                store.delete(key)
        raise


def fetch_bundle(store: Store, model: str, digest: str, folder: Path) -> None:
    """Copy a bundle's files from the Store into a new folder.

    Raises
    ------
    NotFound
        The Store has no such bundle, or not all of its files.
    Untrusted
        The files do not have this digest: the copy is deleted.
    """
    from homeostat.bundle.files import FILES, tree_digest

    prefix = f"bundles/{model}/{digest.removeprefix('sha256:')}/"
    if not {prefix + name for name in FILES} <= set(store.list(prefix)):
        msg = f"the store has no bundle {digest[:12]} of {model}: retrain to make a new one"
        raise NotFound(msg)
    folder.mkdir(parents=True)
    try:
        for name in FILES:  # ignores any other file
            (folder / name).write_bytes(store.get(prefix + name))
        found = tree_digest(folder)
        if found != digest.removeprefix("sha256:"):
            msg = (
                f"{store.uri(prefix + MANIFEST)}: the bundle's files have digest {found[:12]}, expected "
                f"{digest[:12]}: they were changed after training and are not loaded. Retrain to replace them"
            )
            raise Untrusted(msg)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def bundle_folder(ports: Ports, model: str, digest: str) -> Iterator[Path]:
    """Copy a bundle into a temporary folder, deleted at the end of the block.

    A bundle that is missing from the Store is fetched from the registry and restored to the Store.

    Raises
    ------
    NotFound
        Neither has it.
    Untrusted
        The files do not have this digest.
    """
    with tempfile.TemporaryDirectory(prefix="homeostat-") as temporary:
        folder = Path(temporary) / "bundle"
        try:
            fetch_bundle(ports.store, model, digest, folder)
        except NotFound as missing:
            registered = [each for each in ports.registry.versions(model) if each.digest == digest]
            if not registered:
                raise
            logger.warning("%s; fetched from the registry", missing)
            ports.registry.fetch(registered[0], folder)
            _restore(ports.store, model, digest, folder)
        yield folder


def _restore(store: Store, model: str, digest: str, folder: Path) -> None:
    for path in folder.iterdir():
        # What is in the Store is incomplete; these bytes have been checked against the digest.
        store.put(f"bundles/{model}/{digest}/{path.name}", path.read_bytes(), overwrite=True)


def load_version(ports: Ports, config: ModelConfig, digest: str) -> Bundle:
    """Load a bundle; raises Untrusted unless its files have this digest."""
    from homeostat.bundle.files import load_bundle

    if ports.bundle_cache is not None and digest in ports.bundle_cache:
        return ports.bundle_cache[digest]
    with bundle_folder(ports, config.name, digest) as folder:
        bundle = load_bundle(folder, ports.trusted_types, digest=digest, config=config)
    if ports.bundle_cache is not None:
        ports.bundle_cache[digest] = bundle
    return bundle


def load_reference(ports: Ports, model: str, digest: str) -> Reference:
    """Load a version's reference profile; raises NotFound when neither Store nor registry has its bundle."""
    from homeostat.core.profile import Reference

    try:
        return Reference.from_bytes(ports.store.get(f"bundles/{model}/{digest}/reference.bin"))
    except NotFound:
        with bundle_folder(ports, model, digest) as folder:
            return Reference.from_bytes((folder / "reference.bin").read_bytes())
