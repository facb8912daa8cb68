"""What AWS answers when it does not do what it was asked: as a sentence, and as something to retry or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from homeostat.config.errors import ConfigError, HomeostatError, Unavailable

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN = {
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidClientTokenId", "InvalidToken", "AuthFailure"),
    *("UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignature", "InvalidSecurity"),
    *("MissingAuthenticationToken", "NotSignedUp", "OptInRequired"),
}
_DENIED = {
    *("403", "Forbidden", "AccessDenied", "AccessDeniedException", "AuthorizationError", "AllAccessDisabled"),
    *("KmsAccessDenied", "KMS.AccessDeniedException", "KMS.DisabledException", "KMS.NotFoundException"),
    *("KmsDisabled", "KmsNotFound", "KmsInvalidState", "KMS.KMSInvalidStateException", "AccountProblem"),
}
_SLOWER = {
    *("SlowDown", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "429"),
    *("RequestThrottledException", "TooManyRequestsException", "RequestLimitExceeded", "KmsThrottled"),
    *("BandwidthLimitExceeded", "KMS.ThrottlingException", "ServiceUnavailable", "503"),
}
_ELSEWHERE = {
    *("PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"),
}
_SKEWED = {"RequestTimeTooSkewed", "RequestInTheFuture"}
_CURES = (
    (
        _UNKNOWN,
        "AWS does not accept these credentials",
        "check AWS_ACCESS_KEY_ID, its secret and AWS_SESSION_TOKEN, or give the task a role",
    ),
    (
        _DENIED,
        "access denied",
        "give the role that right on it and on its KMS key; infra/terraform/access.tf lists what is used",
    ),
    (_ELSEWHERE, "it lies in another region", "set AWS_DEFAULT_REGION to that one"),
    (_SKEWED, "this machine's clock is wrong", "set it, by NTP for instance"),
)
_NO_QUEUE = (
    "there is no such queue: check HOMEOSTAT_TRIGGERS and the region in it, or make it with `terraform apply`"
)
_NOT_THERE = {
    "NoSuchBucket": "there is no such bucket: check HOMEOSTAT_STORE, or make it with `terraform apply`",
    "AWS.SimpleQueueService.NonExistentQueue": _NO_QUEUE,
    "QueueDoesNotExist": _NO_QUEUE,
}


@contextmanager
def asking(where: str) -> Iterator[None]:
    """Turn what boto3 raises into one of ours, with ``where`` in front.

    The clients retry throttling, 5xx answers and broken connections themselves before they raise.

    Raises
    ------
    Unavailable
        It may pass: throttled, an error of AWS's own, no connection.
    ConfigError
        It will not: credentials that are missing, unknown or expired, a right that is lacking, a bucket or
        a queue that is not there.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise of_answer(where, error) from error
    except BotoCoreError as error:
        raise _of_client(where, error) from error


def code_of(error: object) -> str:
    """The code of a ClientError's answer; "" when it has none."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def of_answer(where: str, error: Exception) -> HomeostatError:
    """The error for an answer of AWS (a ClientError)."""
    code = code_of(error)
    if code in _SLOWER:
        retried = getattr(error, "response", {}).get("ResponseMetadata", {}).get("RetryAttempts", 0)
        times = f"asked {int(retried) + 1} times" if retried else "asked once"
        return Unavailable(f"{where}: AWS asks for fewer requests ({code}); {times}, try again later")
    said = _sentence(code, error)
    return ConfigError(f"{where}: {said}") if said else Unavailable(f"{where}: AWS answered {error}")


def _sentence(code: str, error: Exception) -> str:
    """What is wrong, with its cure, where trying again would change nothing; "" for anything else."""
    if code in _EXPIRED:
        return _expired(error)
    if code in _NOT_THERE:
        return _NOT_THERE[code]
    for codes, what, cure in _CURES:
        if code in codes:
            return f"{what} ({error}): {cure}"
    return ""


def _of_client(where: str, error: Exception) -> HomeostatError:
    """The error for a request that has had no answer (a BotoCoreError)."""
    if signed_out(error):
        return ConfigError(f"{where}: {_expired(error)}")
    from botocore import exceptions

    if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
        cure = "set AWS_ACCESS_KEY_ID and its secret, or give the task a role"
        return ConfigError(f"{where}: no AWS credentials ({error}); {cure}")
    return Unavailable(f"{where}: AWS does not answer: {error}")


def signed_out(error: Exception) -> bool:
    """Whether somebody has to sign in again, at their organisation's page, before AWS can be asked."""
    from botocore import exceptions

    stale = (
        exceptions.SSOTokenLoadError,
        exceptions.TokenRetrievalError,
        exceptions.UnauthorizedSSOTokenError,
    )
    return isinstance(error, stale)


def _expired(error: Exception) -> str:
    cure = "sign in again, or renew AWS_SESSION_TOKEN; those of a role are renewed by AWS itself"
    return f"credentials expired: {cure} ({error})"
