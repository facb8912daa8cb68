"""The data bucket: there, versioned, encrypted, closed to the public."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from homeostat.config.errors import NotFound
from homeostat.doctor.check import Finding, broken, ok, warning
from homeostat.doctor.connect import aws_clients

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3.client import S3Client

    from homeostat.doctor.deployment import Deployment

_NOT_SET = {"NoSuchPublicAccessBlockConfiguration", "ServerSideEncryptionConfigurationNotFoundError"}
_FOUR = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")


def look(deployment: Deployment) -> Finding:
    """As ``infra/terraform/storage.tf`` makes it."""
    deployment.aws.needed()
    bucket, s3 = urlsplit(deployment.settings.store).netloc, aws_clients.s3()
    try:
        with aws_clients.asking("s3:GetBucketVersioning"):
            versioned = s3.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"
    except NotFound:
        return broken(
            f"there is no bucket {bucket}", "`terraform apply`, or set HOMEOSTAT_STORE to the right one"
        )
    lacks = [] if versioned else ["versioning, so that an overwritten object is lost"]
    if not _encrypted(s3, bucket):
        lacks.append("encryption by default")
    open_ways = _open_ways(s3, bucket)
    if open_ways:
        lacks.append(f"a block of public access ({', '.join(open_ways)})")
    if not lacks:
        return ok("versioned, encrypted, closed to the public")
    sentence = f"it lacks {'; and '.join(lacks)}"
    cure = "`terraform apply` in infra/terraform sets it; somebody changed it by hand"
    return broken(sentence, cure) if open_ways else warning(sentence, cure)


def _encrypted(s3: S3Client, bucket: str) -> bool:
    with aws_clients.asking("s3:GetEncryptionConfiguration"):
        found = _unless_not_set(lambda: s3.get_bucket_encryption(Bucket=bucket))
    return bool(found)


def _open_ways(s3: S3Client, bucket: str) -> list[str]:
    with aws_clients.asking("s3:GetBucketPublicAccessBlock"):
        found = _unless_not_set(lambda: s3.get_public_access_block(Bucket=bucket))
    block = found.get("PublicAccessBlockConfiguration", {})
    return [name for name in _FOUR if not block.get(name)]


def _unless_not_set(ask: Callable[[], Any]) -> Any:
    from botocore.exceptions import ClientError

    try:
        return ask()
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NOT_SET:
            raise
        return {}
