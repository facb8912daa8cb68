"""moto's server, corrected where it differs from AWS.

Two responses of moto look like changes to Terraform; one blocks every request to a bucket that requires TLS;
one keeps the default lock of a bucket that is not empty; one fails to empty a bucket with delete markers.

Runs as a program with the arguments of ``moto_server``.
"""

from __future__ import annotations

import json
from typing import Any

from moto.awslambda.models import LambdaFunction
from moto.iam.access_control import IAMPolicyStatement, PermissionResult
from moto.s3.models import FakeDeleteMarker, S3Backend
from moto.server import main
from moto.sqs.models import Queue

_attributes = Queue.attributes.fget  # type: ignore[attr-defined]
_configuration = LambdaFunction.get_configuration
_permitted = IAMPolicyStatement.is_action_permitted


def _compact(queue: Queue) -> dict[str, Any]:
    """Return the redrive policy without spaces, as AWS does."""
    found = _attributes(queue)
    if found.get("RedrivePolicy"):
        found["RedrivePolicy"] = json.dumps(json.loads(found["RedrivePolicy"]), separators=(",", ":"))
    return found


def _only_what_was_set(function: LambdaFunction, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Leave out image settings that were not set, as AWS does."""
    found = _configuration(function, *args, **kwargs)
    if not any(found.get("ImageConfigResponse", {}).get("ImageConfig", {}).values()):
        found.pop("ImageConfigResponse", None)
    return found


def _unless_only_without_tls(statement: IAMPolicyStatement, *args: Any, **kwargs: Any) -> PermissionResult:
    """Ignore a statement whose condition is false, as AWS does; loopback counts as TLS."""
    condition = statement._statement.get("Condition", {})
    if condition.get("Bool", {}).get("aws:SecureTransport") == "false":
        return PermissionResult.NEUTRAL
    return _permitted(statement, *args, **kwargs)


def _lock(
    backend: S3Backend,
    bucket_name: str,
    lock_enabled: bool,
    mode: str | None = None,
    days: int | None = None,
    years: int | None = None,
) -> None:
    """Set or remove the default lock of a bucket that is not empty, as AWS does; objects keep their locks."""
    bucket = backend.get_bucket(bucket_name)
    bucket.object_lock_enabled = bucket.object_lock_enabled or lock_enabled
    bucket.default_lock_mode, bucket.default_lock_days, bucket.default_lock_years = mode, days, years


Queue.attributes = property(_compact)  # type: ignore[assignment,method-assign]
LambdaFunction.get_configuration = _only_what_was_set  # type: ignore[method-assign]
IAMPolicyStatement.is_action_permitted = _unless_only_without_tls  # type: ignore[method-assign]
S3Backend.put_object_lock_configuration = _lock  # type: ignore[method-assign]
FakeDeleteMarker.dispose = lambda _: None  # moto calls it on every version, and a marker has no content

if __name__ == "__main__":
    main()
