"""One AWS with the whole of ``infra/terraform`` applied to it, for all tests of the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aws.aws_stack import AwsStack, apply, moto_process, provider_mirror


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Where Terraform finds its provider without a network."""
    return provider_mirror()


@pytest.fixture(scope="session")
def aws_endpoint(
    mirror: Path, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[str]:
    """The address of an empty AWS, moto on loopback."""
    with moto_process(free_port(), tmp_path_factory.mktemp("moto") / "server.log") as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def aws_stack(aws_endpoint: str, mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> AwsStack:
    """Everything that Terraform makes, in that AWS.

    Most of the minute that this takes Terraform waits for queues and lifecycle rules to settle, as it must
    on Amazon's. It is not destroyed at the end but with moto; test_terraform_destroy.py sees to destroying.
    """
    return apply(tmp_path_factory.mktemp("stack") / "terraform", aws_endpoint, mirror)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Destroy only after every test that uses the stack: that one goes to the end of the session."""
    items.sort(key=lambda item: item.name == "test_destroy_leaves_nothing")
