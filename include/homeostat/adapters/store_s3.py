"""The store in S3 or an S3-compatible service."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from homeostat.adapters.aws_errors import error_code, translate_aws_errors
from homeostat.adapters.store_keys import check_key, folder_prefix
from homeostat.config.errors import AlreadyExists, NotFound, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_GONE = {"404", "NoSuchKey", "NotFound"}
_TAKEN = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}
#: A HEAD response has no body, so these codes do not tell the reason.
_HEAD_WITHOUT_REASON = {"400", "403"}


class S3Store:
    """Objects under ``s3://bucket/prefix``; S3 writes are atomic.

    ``AWS_ENDPOINT_URL`` selects another server than Amazon's; boto3 finds the credentials. Write-once keys
    are put with ``If-None-Match: *``, so that the second of two writers gets an error.
    """

    def __init__(self, bucket: str, prefix: str = "") -> None:
        self.bucket = bucket
        self._prefix = folder_prefix(prefix)
        self._client_: S3Client | None = None

    def put(self, key: str, data: bytes, *, overwrite: bool = False) -> None:
        """See :meth:`homeostat.ports.Store.put`."""
        name = self._name(key)
        if overwrite:
            with self._translate_errors(key):
                self._client.put_object(Bucket=self.bucket, Key=name, Body=data)
            return
        # Some servers ignore the condition, hence this check; another writer may come between, hence
        # the condition.
        if self.exists(key):
            self._require_same(key, data)
            return
        try:
            with self._translate_errors(key):
                self._client.put_object(Bucket=self.bucket, Key=name, Body=data, IfNoneMatch="*")
        except AlreadyExists:
            try:
                self._require_same(key, data)
            except NotFound:  # the other writer failed after all
                msg = f"{self.uri(key)}: a concurrent writer failed; try again"
                raise Unavailable(msg) from None

    def get(self, key: str) -> bytes:
        """See :meth:`homeostat.ports.Store.get`."""
        with self._translate_errors(key):
            return self._client.get_object(Bucket=self.bucket, Key=self._name(key))["Body"].read()

    def exists(self, key: str) -> bool:
        """See :meth:`homeostat.ports.Store.exists`."""
        from botocore.exceptions import ClientError

        name = self._name(key)
        try:
            with self._translate_errors(key):
                try:
                    self._client.head_object(Bucket=self.bucket, Key=name)
                except ClientError as error:
                    if error_code(error) not in _HEAD_WITHOUT_REASON:
                        raise
                    # A GET returns the reason: expired, denied, no bucket.
                    self._client.get_object(Bucket=self.bucket, Key=name, Range="bytes=0-0")
        except NotFound:
            return False
        return True

    def list(self, prefix: str) -> list[str]:
        """See :meth:`homeostat.ports.Store.list`."""
        return sorted(self.tags(prefix))

    def tags(self, prefix: str = "") -> dict[str, str]:
        """Return the ETag of every object below ``prefix`` by key: another one for other bytes."""
        folder = self._prefix + folder_prefix(prefix)
        with self._translate_errors(prefix or "/"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=folder)
            found = {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", [])}
        return {name.removeprefix(self._prefix): tag for name, tag in found.items() if not name.endswith("/")}

    def delete(self, key: str) -> None:
        """See :meth:`homeostat.ports.Store.delete`."""
        with self._translate_errors(key):
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

    def _require_same(self, key: str, data: bytes) -> None:
        if self.get(key) != data:
            msg = f"{self.uri(key)} already holds other bytes, and a key is written once"
            raise AlreadyExists(msg)

    @contextmanager
    def _translate_errors(self, key: str) -> Iterator[None]:
        from botocore.exceptions import ClientError

        where = f"s3://{self.bucket}/{self._prefix}{key}"
        with translate_aws_errors(where):
            try:
                yield
            except ClientError as error:
                code = error_code(error)
                if code in _GONE:
                    msg = f"{where} does not exist"
                    raise NotFound(msg) from None
                if code in _TAKEN:
                    msg = f"{where} was written by another process at the same time"
                    raise AlreadyExists(msg) from None
                raise


def _connect() -> S3Client:
    """Create a client with short time-outs; boto3's clients are safe to share between threads."""
    import boto3
    from botocore.config import Config

    custom_endpoint = bool(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))
    config = Config(
        connect_timeout=3,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=16,
        # Other servers often support only path-style buckets, and no checksum trailers.
        s3={"addressing_style": "path" if custom_endpoint else "auto"},
        request_checksum_calculation="when_required" if custom_endpoint else "when_supported",
        response_checksum_validation="when_required" if custom_endpoint else "when_supported",
    )
    session = boto3.Session()
    return session.client("s3", config=config, region_name=session.region_name or "us-east-1")
