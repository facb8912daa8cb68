"""boto3's clients, told to give up within seconds, and its errors as what they mean for a check."""

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
    from botocore.loaders import BundleCache
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
_LATE = {"RequestTimeTooSkewed", "RequestExpired"}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403"}
_GONE = {
    *("404", "NoSuchBucket", "NoSuchKey", "NotFound", "ResourceNotFoundException", "QueueDoesNotExist"),
    *("AWS.SimpleQueueService.NonExistentQueue", "ClusterNotFoundException"),
}
DEFAULT_REGION = "us-east-1"
NEW_ONES = (
    "log in again (`aws sso login`), renew the keys, or let the machine's role be found: AWS_PROFILE, "
    "AWS_ACCESS_KEY_ID"
)


def elsewhere(service: str = "") -> str:
    """The server that stands in for Amazon's own, if one does."""
    named = os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}", "") if service else ""
    return named or os.environ.get("AWS_ENDPOINT_URL", "")


def s3() -> S3Client:
    """S3 as :mod:`homeostat.adapters.store_s3` speaks it."""
    from botocore.config import Config

    other = bool(elsewhere("s3"))
    style = Config(
        s3={"addressing_style": "path" if other else "auto"},
        request_checksum_calculation="when_required" if other else "when_supported",
        response_checksum_validation="when_required" if other else "when_supported",
    )
    return _session().client("s3", config=_patience().merge(style), region_name=region())


def sqs(url: str) -> SQSClient:
    """Queues, in the region of this one."""
    from homeostat.adapters.trigger_queue_sqs import region_of

    return _session().client("sqs", config=_patience(), region_name=region_of(url) or region())


def sts() -> STSClient:
    """Who we are."""
    return _session().client("sts", config=_patience(), region_name=region())


def functions() -> LambdaClient:
    """Lambda."""
    return _session().client("lambda", config=_patience(), region_name=region())


def schedules() -> EventBridgeSchedulerClient:
    """EventBridge Scheduler."""
    return _session().client("scheduler", config=_patience(), region_name=region())


def ecs() -> ECSClient:
    """Fargate."""
    return _session().client("ecs", config=_patience(), region_name=region())


def _session() -> boto3.Session:
    """A session of its own, since they may not be shared between threads; what is read from files is."""
    import boto3
    import botocore.session

    session = botocore.session.get_session()
    session.register_component("data_loader", _loader())
    return boto3.Session(botocore_session=session)


@cache
def _loader() -> BundleCache:
    from botocore.loaders import create_loader

    return create_loader()


def _patience() -> Config:
    from botocore.config import Config

    return Config(
        connect_timeout=check.CONNECT_SECONDS,
        read_timeout=check.ANSWER_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 1},
    )


def region() -> str:
    """The region that is asked; where none is set, the one that S3 would be asked in."""
    return _session().region_name or DEFAULT_REGION


@contextmanager
def asking(action: str) -> Iterator[None]:
    """Turn boto's errors into ours; ``action`` is what IAM calls what is asked.

    Raises
    ------
    NotAllowed
        The credentials do not allow it.
    NotFound
        What was asked about is not there.
    ConfigError
        There are no credentials, or AWS does not take them.
    Unavailable
        Anything else.
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
        msg = f"no AWS credentials were found ({error})"
        raise ConfigError(msg) from error
    except BotoCoreError as error:
        if needs_sign_in(error):
            msg = f"the AWS credentials have expired ({error})"
            raise ConfigError(msg) from error
        msg = f"{action}: no answer: {error}"
        raise Unavailable(msg) from error
    except ClientError as error:
        raise _meant(action, error.response) from error


def _meant(action: str, response: object) -> Exception:
    found = response.get("Error", {}) if isinstance(response, dict) else {}
    code, said = str(found.get("Code", "")), str(found.get("Message", ""))
    if code in _EXPIRED:
        return ConfigError(f"the AWS credentials have expired ({code})")
    if code in _UNKNOWN:
        return ConfigError(f"AWS does not know these credentials ({code})")
    if code in _LATE:
        return ConfigError(f"this machine's clock is too far off for AWS ({code}): it allows 15 minutes")
    if code in _DENIED:
        return NotAllowed(action)
    if code in _GONE or code.endswith("NonExistentQueue"):
        return NotFound(said or code)
    return Unavailable(f"{action}: {code}: {said}")
