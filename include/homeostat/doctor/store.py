"""The store: write, list and read one object, attempt to overwrite it, delete it."""

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


def check_store(deployment: Deployment) -> Finding:
    """Check reads, writes, listings and write-once with one test object, and delete it."""
    try:
        store = deployment.store.get().store
    except NotFound as error:
        if deployment.settings.store.startswith("s3://"):
            raise
        return warning(
            f"{error}: the store is empty",
            "nothing to do before the first write, which creates it; if you had a store, set HOMEOSTAT_STORE "
            "to it",
        )
    key = f"{FOLDER}/{uuid.uuid4().hex}.txt"
    try:
        finding = _try_out(store, key)
    finally:
        left = _delete(store, key)
    return broken(left, f"delete {store.uri(key)}, and grant s3:DeleteObject") if left else finding


def _try_out(store: Store, key: str) -> Finding:
    first, second = b"homeostat doctor, first writer", b"homeostat doctor, second writer"
    store.put(key, first)
    if key not in store.list(FOLDER):
        return broken("a written object is not listed", "use a store with consistent listings, such as S3")
    if store.get(key) != first:
        return broken("a read returned other bytes than written", "use another store, this one corrupts data")
    try:
        store.put(key, second)
    except AlreadyExists:
        pass
    else:
        return broken(
            "an existing object was overwritten by a write that must not overwrite",
            "use another store: on this one, the files of a version could change",
        )
    if _ignores_conditions(store, key, second):
        return warning(
            "works, but the server ignores If-None-Match: of two concurrent writes, the later replaces the "
            "earlier one",
            "use a server with conditional writes, such as Amazon S3 or a recent MinIO or Ceph",
        )
    return ok("writes, listings, reads and deletes work; an overwrite is refused")


def _ignores_conditions(store: Store, key: str, data: bytes) -> bool:
    """Whether the server accepts a conditional overwrite; ``store.put`` checks before it writes as well."""
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


def _delete(store: Store, key: str) -> str:
    """Delete the test object; return what went wrong, or an empty string."""
    from homeostat.adapters.store_file import FileStore

    try:
        store.delete(key)
        left = store.exists(key)
    except HomeostatError as error:
        return f"the test object cannot be deleted: {error}"
    if isinstance(store, FileStore):
        with suppress(OSError):  # a parallel run's test object is in the folder
            (Path(store.root) / FOLDER).rmdir()
    return "the test object still exists after it was deleted" if left else ""
