"""The AWS identity of the credentials in use."""

from __future__ import annotations

from dataclasses import dataclass

from homeostat.doctor.connect import aws_clients


@dataclass(frozen=True, slots=True)
class AwsIdentity:
    """ARN of the user or role, and the configured region; empty when none is set."""

    arn: str
    region: str


def connect() -> AwsIdentity:
    """Call STS; raise ConfigError without valid credentials, Unavailable when STS does not respond."""
    import boto3

    with aws_clients.translate_errors("sts:GetCallerIdentity"):
        found = aws_clients.sts().get_caller_identity()
    return AwsIdentity(found["Arn"], boto3.Session().region_name or "")
