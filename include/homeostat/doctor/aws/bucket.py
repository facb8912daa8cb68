"""The data bucket: exists, versioned, encrypted, public access blocked."""

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
_BLOCKS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")


def check_bucket(deployment: Deployment) -> Finding:
    """Check that the bucket is configured as in ``infra/terraform/storage.tf``."""
    deployment.aws.get_or_skip()
    bucket, s3 = urlsplit(deployment.settings.store).netloc, aws_clients.s3()
    try:
        with aws_clients.translate_errors("s3:GetBucketVersioning"):
            versioned = s3.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"
    except NotFound:
        return broken(
            f"the bucket {bucket} does not exist",
            "run `terraform apply` in infra/terraform, or set HOMEOSTAT_STORE to an existing bucket",
        )
    problems = [] if versioned else ["versioning is off, an overwritten object cannot be restored"]
    if not _encrypted(s3, bucket):
        problems.append("default encryption is off")
    missing_blocks = _missing_blocks(s3, bucket)
    if missing_blocks:
        problems.append(f"public access is not blocked ({', '.join(missing_blocks)} not set)")
    if not problems:
        return ok("versioned, encrypted, public access blocked")
    sentence = "; ".join(problems)
    remedy = "run `terraform apply` in infra/terraform, which sets this: the bucket was changed manually"
    return broken(sentence, remedy) if missing_blocks else warning(sentence, remedy)


def _encrypted(s3: S3Client, bucket: str) -> bool:
    with aws_clients.translate_errors("s3:GetEncryptionConfiguration"):
        found = _empty_if_not_set(lambda: s3.get_bucket_encryption(Bucket=bucket))
    return bool(found)


def _missing_blocks(s3: S3Client, bucket: str) -> list[str]:
    with aws_clients.translate_errors("s3:GetBucketPublicAccessBlock"):
        found = _empty_if_not_set(lambda: s3.get_public_access_block(Bucket=bucket))
    block = found.get("PublicAccessBlockConfiguration", {})
    return [name for name in _BLOCKS if not block.get(name)]


def _empty_if_not_set(call: Callable[[], Any]) -> Any:
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NOT_SET:
            raise
        return {}
