"""boto3 clients with short time-outs, and the translation of boto3's errors into homeostat's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from homeostat.config.errors import ConfigError, NotFound, Unavailable
from homeostat.doctor import check
from homeostat.doctor.check import NotAllowed

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config
    from botocore.loaders import Loader
    from mypy_boto3_ecs.client import ECSClient
    from mypy_boto3_lambda.client import LambdaClient
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_scheduler.client import EventBridgeSchedulerClient
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sts.client import STSClient

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
_UNKNOWN = {
    *("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "InvalidToken"),
    *("SignatureDoesNotMatch", "InvalidSignatureException", "AuthFailure", "IncompleteSignature"),
}
_CLOCK_SKEWED = {"RequestTimeTooSkewed", "RequestExpired"}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403"}
_NOT_FOUND = {
    *("404", "NoSuchBucket", "NoSuchKey", "NotFound", "ResourceNotFoundException", "QueueDoesNotExist"),
    *("AWS.SimpleQueueService.NonExistentQueue", "ClusterNotFoundException"),
}
DEFAULT_REGION = "us-east-1"
CREDENTIALS_REMEDY = (
    "sign in again (`aws sso login`), set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
    "attach a role to this machine"
)


def custom_endpoint(service: str = "") -> str:
    """Return the configured endpoint URL, such as a MinIO server's; empty for AWS itself."""
    own = os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}", "") if service else ""
    return own or os.environ.get("AWS_ENDPOINT_URL", "")


def s3() -> S3Client:
    """Return an S3 client with the same protocol settings as :mod:`homeostat.adapters.store_s3`."""
    from botocore.config import Config

    custom = bool(custom_endpoint("s3"))
    protocol = Config(
        s3={"addressing_style": "path" if custom else "auto"},
        request_checksum_calculation="when_required" if custom else "when_supported",
        response_checksum_validation="when_required" if custom else "when_supported",
    )
    return _session().client("s3", config=_timeouts().merge(protocol), region_name=region())


def sqs(url: str) -> SQSClient:
    """Return an SQS client for the region of this queue."""
    from homeostat.adapters.trigger_queue_sqs import region_of

    return _session().client("sqs", config=_timeouts(), region_name=region_of(url) or region())


def sts() -> STSClient:
    """Return an STS client."""
    return _session().client("sts", config=_timeouts(), region_name=region())


def lambda_client() -> LambdaClient:
    """Return a Lambda client."""
    return _session().client("lambda", config=_timeouts(), region_name=region())


def scheduler() -> EventBridgeSchedulerClient:
    """Return an EventBridge Scheduler client."""
    return _session().client("scheduler", config=_timeouts(), region_name=region())


def ecs() -> ECSClient:
    """Return an ECS client."""
    return _session().client("ecs", config=_timeouts(), region_name=region())


def _session() -> boto3.Session:
    """Return a new session, since sessions are not thread-safe; the loader of API models is shared."""
    import boto3
    import botocore.session

    session = botocore.session.get_session()
    session.register_component("data_loader", _loader())
    return boto3.Session(botocore_session=session)


@cache
def _loader() -> Loader:
    from botocore.loaders import create_loader

    return create_loader()


def _timeouts() -> Config:
    from botocore.config import Config

    return Config(
        connect_timeout=check.CONNECT_SECONDS,
        read_timeout=check.RESPONSE_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 1},
    )


def region() -> str:
    """Return the configured region, or the default."""
    return _session().region_name or DEFAULT_REGION


@contextmanager
def translate_errors(action: str) -> Iterator[None]:
    """Translate boto3's errors; ``action`` is the IAM name of the call, such as ``s3:ListBucket``.

    Raises
    ------
    NotAllowed
        The credentials lack the permission.
    NotFound
        The resource does not exist.
    ConfigError
        There are no credentials, or AWS refuses them.
    Unavailable
        Any other error.
    """
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        PartialCredentialsError,
    )

    from homeostat.adapters.aws_errors import needs_sign_in

    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        msg = f"no AWS credentials found ({error})"
        raise ConfigError(msg) from error
    except BotoCoreError as error:
        if needs_sign_in(error):
            msg = f"the AWS credentials have expired ({error})"
            raise ConfigError(msg) from error
        msg = f"{action}: no response: {error}"
        raise Unavailable(msg) from error
    except ClientError as error:
        raise _translate(action, error.response) from error


def _translate(action: str, response: object) -> Exception:
    details = response.get("Error", {}) if isinstance(response, dict) else {}
    code, message = str(details.get("Code", "")), str(details.get("Message", ""))
    if code in _EXPIRED:
        return ConfigError(f"the AWS credentials have expired ({code})")
    if code in _UNKNOWN:
        return ConfigError(f"AWS rejects these credentials ({code})")
    if code in _CLOCK_SKEWED:
        return ConfigError(f"AWS refuses requests, because this machine's clock is 15 minutes off ({code})")
    if code in _DENIED:
        return NotAllowed(action)
    if code in _NOT_FOUND or code.endswith("NonExistentQueue"):
        return NotFound(message or code)
    return Unavailable(f"{action}: {code}: {message}")
