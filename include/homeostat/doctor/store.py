"""The store: one object is written, found, read, refused a second writer, and removed."""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from homeostat.config.errors import AlreadyExists, HomeostatError, NotFound
from homeostat.doctor.check import Finding, broken, ok, warning

if TYPE_CHECKING:
    from homeostat.doctor.deployment import Deployment
    from homeostat.ports import Store

FOLDER = "doctor"


def look(deployment: Deployment) -> Finding:
    """Write, list, read, be refused, delete."""
    try:
        store = deployment.store.get().store
    except NotFound as error:
        if deployment.settings.store.startswith("s3://"):
            raise
        return warning(
            f"{error}: nothing was ever kept here",
            "it is made at the first write; if there was one, HOMEOSTAT_STORE points elsewhere",
        )
    key = f"{FOLDER}/{uuid.uuid4().hex}.txt"
    try:
        finding = _used(store, key)
    finally:
        left = _removed(store, key)
    return broken(left, f"delete {store.uri(key)} by hand, and allow s3:DeleteObject") if left else finding


def _used(store: Store, key: str) -> Finding:
    ours, others = b"homeostat doctor was here", b"and so was somebody else"
    store.put(key, ours)
    if key not in store.list(FOLDER):
        return broken("what was written is not listed", "use a store that lists what it has, as S3 does")
    if store.get(key) != ours:
        return broken("what is read is not what was written", "use another store; this one loses bytes")
    try:
        store.put(key, others)
    except AlreadyExists:
        pass
    else:
        return broken(
            "a key that is written once took other bytes", "use another store: versions could change"
        )
    if _passes_over_conditions(store, key, others):
        return warning(
            "it works, but passes over If-None-Match: of two writers at once the later one wins unseen",
            "use a server that knows conditional writes: Amazon S3 does, and recent MinIO and Ceph",
        )
    return ok("written, listed, read and removed; a second writer is refused")


def _passes_over_conditions(store: Store, key: str, data: bytes) -> bool:
    """Whether the server itself let a second writer in; the adapter asks before it writes as well."""
    from homeostat.adapters.store_s3 import S3Store

    if not isinstance(store, S3Store):
        return False
    from botocore.exceptions import ClientError

    from homeostat.doctor.connect import aws_clients

    name = store.uri(key).removeprefix(f"s3://{store.bucket}/")
    try:
        aws_clients.s3().put_object(Bucket=store.bucket, Key=name, Body=data, IfNoneMatch="*")
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status not in (409, 412, 501):
            raise
        return status == 501  # not implemented
    return True


def _removed(store: Store, key: str) -> str:
    """Remove the probe; what went wrong with that, or nothing."""
    from homeostat.adapters.store_file import FileStore

    try:
        store.delete(key)
        left = store.exists(key)
    except HomeostatError as error:
        return f"the probe cannot be removed: {error}"
    if isinstance(store, FileStore):
        with suppress(OSError):  # somebody else's probe lies in it
            (Path(store.root) / FOLDER).rmdir()
    return "the probe was removed, and is still there" if left else ""
