"""Translate AWS errors (boto3) into Homeostat's: retryable or not, with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from homeostat.config.errors import ConfigError, HomeostatError, Unavailable

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_BAD_CREDENTIALS = {
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidClientTokenId", "InvalidToken", "AuthFailure"),
    *("UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignature", "InvalidSecurity"),
    *("MissingAuthenticationToken", "NotSignedUp", "OptInRequired"),
}
_DENIED = {
    *("403", "Forbidden", "AccessDenied", "AccessDeniedException", "AuthorizationError", "AllAccessDisabled"),
    *("KmsAccessDenied", "KMS.AccessDeniedException", "KMS.DisabledException", "KMS.NotFoundException"),
    *("KmsDisabled", "KmsNotFound", "KmsInvalidState", "KMS.KMSInvalidStateException", "AccountProblem"),
}
_THROTTLED = {
    *("SlowDown", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "429"),
    *("RequestThrottledException", "TooManyRequestsException", "RequestLimitExceeded", "KmsThrottled"),
    *("BandwidthLimitExceeded", "KMS.ThrottlingException", "ServiceUnavailable", "503"),
}
_WRONG_REGION = {
    *("PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"),
}
_CLOCK_SKEW = {"RequestTimeTooSkewed", "RequestInTheFuture"}
_FIXES = (
    (
        _BAD_CREDENTIALS,
        "AWS does not accept these credentials",
        "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or give the task a role",
    ),
    (
        _DENIED,
        "access denied",
        "allow the action for the role, on its KMS key too; infra/terraform/access.tf lists all actions",
    ),
    (_WRONG_REGION, "the resource is in another region", "set AWS_DEFAULT_REGION to that region"),
    (_CLOCK_SKEW, "this machine's clock is wrong", "synchronise it, for example with NTP"),
)
_NO_QUEUE = (
    "there is no such queue: check HOMEOSTAT_TRIGGERS and its region, or create it with `terraform apply`"
)
_MISSING = {
    "NoSuchBucket": "there is no such bucket: check HOMEOSTAT_STORE, or create it with `terraform apply`",
    "AWS.SimpleQueueService.NonExistentQueue": _NO_QUEUE,
    "QueueDoesNotExist": _NO_QUEUE,
}


@contextmanager
def translate_aws_errors(where: str) -> Iterator[None]:
    """Translate boto3's exceptions into Homeostat's, with ``where`` in front of the message.

    boto3 retries throttling, 5xx responses and broken connections itself before it raises.

    Raises
    ------
    Unavailable
        Worth a retry: throttled, an AWS-side error, no connection.
    ConfigError
        A retry cannot help: missing, rejected or expired credentials, a missing permission, a bucket or
        queue that does not exist.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise from_client_error(where, error) from error
    except BotoCoreError as error:
        raise _of_client(where, error) from error


def error_code(error: object) -> str:
    """Return the error code of a ClientError; "" when it has none."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def from_client_error(where: str, error: Exception) -> HomeostatError:
    """Return Homeostat's error for an error response of AWS (a ClientError)."""
    code = error_code(error)
    if code in _THROTTLED:
        retried = getattr(error, "response", {}).get("ResponseMetadata", {}).get("RetryAttempts", 0)
        times = f"asked {int(retried) + 1} times" if retried else "asked once"
        return Unavailable(f"{where}: AWS asks for fewer requests ({code}); {times}, try again later")
    message = _permanent(code, error)
    return ConfigError(f"{where}: {message}") if message else Unavailable(f"{where}: AWS returned {error}")


def _permanent(code: str, error: Exception) -> str:
    """Return the problem and its fix for an error that a retry cannot clear; "" for any other error."""
    if code in _EXPIRED:
        return _expired(error)
    if code in _MISSING:
        return _MISSING[code]
    for codes, problem, fix in _FIXES:
        if code in codes:
            return f"{problem} ({error}): {fix}"
    return ""


def _of_client(where: str, error: Exception) -> HomeostatError:
    """Return Homeostat's error for a request without a response (a BotoCoreError)."""
    if needs_sign_in(error):
        return ConfigError(f"{where}: {_expired(error)}")
    from botocore import exceptions

    if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
        fix = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the task a role"
        return ConfigError(f"{where}: no AWS credentials ({error}); {fix}")
    return Unavailable(f"{where}: AWS does not answer: {error}")


def needs_sign_in(error: Exception) -> bool:
    """Whether the SSO session has expired, so that a person must sign in again."""
    from botocore import exceptions

    expired = (
        exceptions.SSOTokenLoadError,
        exceptions.TokenRetrievalError,
        exceptions.UnauthorizedSSOTokenError,
    )
    return isinstance(error, expired)


def _expired(error: Exception) -> str:
    fix = "sign in again, or renew AWS_SESSION_TOKEN; AWS renews the credentials of a role itself"
    return f"credentials expired: {fix} ({error})"
