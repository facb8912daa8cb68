"""The store: opened, and its folder or bucket found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from homeostat.config.errors import NotFound
from homeostat.doctor.clock_skew import ahead_by_header
from homeostat.doctor.connect import aws_clients
from homeostat.ports import Store


@dataclass(frozen=True, slots=True)
class StoreConnection:
    """The store, and how far its clock is ahead; None where it is a folder."""

    store: Store
    offset: timedelta | None


def connect(url: str) -> StoreConnection:
    """Open the store and see that its folder or bucket is there.

    Raises
    ------
    NotFound
        There is no such folder.
    Unavailable, ConfigError
        Nothing answers, or not to these credentials.
    """
    from homeostat.adapters import open_store
    from homeostat.adapters.store_file import FileStore
    from homeostat.adapters.store_s3 import S3Store

    store = open_store(url)
    if isinstance(store, S3Store):
        return StoreConnection(store, _reach_bucket(store))
    if isinstance(store, FileStore) and not store.root.is_dir():
        msg = f"{store.root} is not there"
        raise NotFound(msg)
    return StoreConnection(store, None)


def _reach_bucket(store: Store) -> timedelta | None:
    """Ask for the bucket with less patience than the store itself has: silence must show soon."""
    with aws_clients.asking("s3:ListBucket"):
        asked = datetime.now(UTC)
        answer = aws_clients.s3().list_objects_v2(Bucket=store.bucket, MaxKeys=1)  # type: ignore[attr-defined]
    return ahead_by_header(answer["ResponseMetadata"]["HTTPHeaders"], asked, datetime.now(UTC))
