"""The AWS identity of the credentials in use."""

from __future__ import annotations

from dataclasses import dataclass

from homeostat.doctor.connect import aws_clients


@dataclass(frozen=True, slots=True)
class AwsIdentity:
    """The user or role that we are, with its account, and the region that is asked."""

    who: str
    region: str


def connect() -> AwsIdentity:
    """Ask sts; ConfigError without valid credentials, Unavailable when nothing answers."""
    import boto3

    with aws_clients.asking("sts:GetCallerIdentity"):
        found = aws_clients.sts().get_caller_identity()
    return AwsIdentity(found["Arn"], boto3.Session().region_name or "")
