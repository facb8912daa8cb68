"""The store: opened, with an existing folder or bucket."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from homeostat.config.errors import NotFound
from homeostat.doctor.clock_skew import offset_from_header
from homeostat.doctor.connect import aws_clients
from homeostat.ports import Store


@dataclass(frozen=True, slots=True)
class StoreConnection:
    """The store, and how far its clock is ahead of ours; None for a folder."""

    store: Store
    offset: timedelta | None


def connect(url: str) -> StoreConnection:
    """Open the store and check that its folder or bucket exists.

    Raises
    ------
    NotFound
        The folder or bucket does not exist.
    Unavailable, ConfigError
        The server does not respond, or refuses these credentials.
    """
    from homeostat.adapters import open_store
    from homeostat.adapters.store_file import FileStore
    from homeostat.adapters.store_s3 import S3Store

    store = open_store(url)
    if isinstance(store, S3Store):
        return StoreConnection(store, _connect_to_bucket(store.bucket))
    if isinstance(store, FileStore) and not store.root.is_dir():
        msg = f"the folder {store.root} does not exist"
        raise NotFound(msg)
    return StoreConnection(store, None)


def _connect_to_bucket(bucket: str) -> timedelta | None:
    """List the bucket with the doctor's short time-outs; the store's own client retries for longer."""
    with aws_clients.translate_errors("s3:ListBucket"):
        sent = datetime.now(UTC)
        response = aws_clients.s3().list_objects_v2(Bucket=bucket, MaxKeys=1)
    return offset_from_header(response["ResponseMetadata"]["HTTPHeaders"], sent, datetime.now(UTC))
