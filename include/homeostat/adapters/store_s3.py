"""The store in S3, or in anything that speaks its language."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from homeostat.adapters.aws_errors import asking, code_of
from homeostat.adapters.store_keys import check_key, folder_of
from homeostat.config.errors import AlreadyExists, NotFound, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_GONE = {"404", "NoSuchKey", "NotFound"}
_TAKEN = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}
#: A HEAD has no body, and so no code that would say more.
_SPEECHLESS = {"400", "403"}


class S3Store:
    """Bytes under ``s3://bucket/prefix``; S3 shows an object whole or not at all.

    ``AWS_ENDPOINT_URL`` names another server than Amazon's; credentials come the way that boto3 finds
    them. Write-once keys are put with ``If-None-Match: *``, so that of two writers one is told.
    """

    def __init__(self, bucket: str, prefix: str = "") -> None:
        self.bucket = bucket
        self._prefix = folder_of(prefix)
        self._client_: S3Client | None = None

    def put(self, key: str, data: bytes, *, overwrite: bool = False) -> None:
        """See :meth:`homeostat.ports.Store.put`."""
        name = self._name(key)
        if overwrite:
            with self._asking(key):
                self._client.put_object(Bucket=self.bucket, Key=name, Body=data)
            return
        # Asked first because some servers pass over the condition; the condition, because
        # another writer may come between.
        if self.exists(key):
            self._same_or_refused(key, data)
            return
        try:
            with self._asking(key):
                self._client.put_object(Bucket=self.bucket, Key=name, Body=data, IfNoneMatch="*")
        except AlreadyExists:
            try:
                self._same_or_refused(key, data)
            except NotFound:  # the other writer failed after all
                msg = f"{self.uri(key)}: another writer came between and failed; try again"
                raise Unavailable(msg) from None

    def get(self, key: str) -> bytes:
        """See :meth:`homeostat.ports.Store.get`."""
        with self._asking(key):
            return self._client.get_object(Bucket=self.bucket, Key=self._name(key))["Body"].read()

    def exists(self, key: str) -> bool:
        """See :meth:`homeostat.ports.Store.exists`."""
        from botocore.exceptions import ClientError

        name = self._name(key)
        try:
            with self._asking(key):
                try:
                    self._client.head_object(Bucket=self.bucket, Key=name)
                except ClientError as error:
                    if code_of(error) not in _SPEECHLESS:
                        raise
                    # Asked once more in a way that S3 answers with its reason: expired, denied, no bucket.
                    self._client.get_object(Bucket=self.bucket, Key=name, Range="bytes=0-0")
        except NotFound:
            return False
        return True

    def list(self, prefix: str) -> list[str]:
        """See :meth:`homeostat.ports.Store.list`."""
        folder = self._prefix + folder_of(prefix)
        with self._asking(prefix or "/"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=folder)
            names = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return sorted(name.removeprefix(self._prefix) for name in names if not name.endswith("/"))

    def delete(self, key: str) -> None:
        """See :meth:`homeostat.ports.Store.delete`."""
        with self._asking(key):
            self._client.delete_object(Bucket=self.bucket, Key=self._name(key))

    def uri(self, key: str) -> str:
        """See :meth:`homeostat.ports.Store.uri`."""
        return f"s3://{self.bucket}/{self._name(key)}"

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    @property
    def _client(self) -> S3Client:
        if self._client_ is None:
            self._client_ = _connect()
        return self._client_

    def _same_or_refused(self, key: str, data: bytes) -> None:
        if self.get(key) != data:
            msg = f"{self.uri(key)} already holds other bytes, and is written once"
            raise AlreadyExists(msg)

    @contextmanager
    def _asking(self, key: str) -> Iterator[None]:
        from botocore.exceptions import ClientError

        where = f"s3://{self.bucket}/{self._prefix}{key}"
        with asking(where):
            try:
                yield
            except ClientError as error:
                code = code_of(error)
                if code in _GONE:
                    msg = f"{where} is not there"
                    raise NotFound(msg) from None
                if code in _TAKEN:
                    msg = f"{where} was written by another at the same moment"
                    raise AlreadyExists(msg) from None
                raise


def _connect() -> S3Client:
    """Make a client that gives up within seconds; boto3's clients may be shared between threads."""
    import boto3
    from botocore.config import Config

    elsewhere = bool(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))
    config = Config(
        connect_timeout=3,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=16,
        # Servers other than Amazon's often know buckets by path only, and no checksum trailers.
        s3={"addressing_style": "path" if elsewhere else "auto"},
        request_checksum_calculation="when_required" if elsewhere else "when_supported",
        response_checksum_validation="when_required" if elsewhere else "when_supported",
    )
    session = boto3.Session()
    return session.client("s3", config=config, region_name=session.region_name or "us-east-1")
