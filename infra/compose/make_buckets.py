"""Create the buckets that do not exist yet."""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

import sys
from collections.abc import Sequence

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

#: About two minutes. After a restart of all services, the store refuses connections at first.
ATTEMPTS = 12


def main(names: Sequence[str]) -> None:
    """Create each bucket that does not exist; wait for a store that is starting."""
    store = boto3.client("s3", config=Config(retries={"total_max_attempts": ATTEMPTS, "mode": "standard"}))
    for name in names:
        try:
            store.head_bucket(Bucket=name)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            store.create_bucket(Bucket=name)


if __name__ == "__main__":
    main(sys.argv[1:])
