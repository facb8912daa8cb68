"""One AWS with all of ``infra/terraform`` deployed to it, for the tests of this folder.

The steps of docs/aws.md take minutes, in which Terraform mostly waits. They start with the first test of this
folder and run beside the tests that do not need them. The teardown starts after the last test that does.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from aws.aws_stack import AwsStack, StackDeployment

_DEPLOYMENT = pytest.StashKey[StackDeployment]()
_PENDING = pytest.StashKey[set[str]]()
LAST = "test_teardown_leaves_nothing"


@pytest.fixture(scope="session")
def aws_stack(pytestconfig: pytest.Config) -> AwsStack:
    """Return what the steps of docs/aws.md deployed."""
    return pytestconfig.stash[_DEPLOYMENT].stack()


@pytest.fixture(scope="session")
def aws_deployment(pytestconfig: pytest.Config) -> StackDeployment:
    """Return the deployment, which also takes it down."""
    return pytestconfig.stash[_DEPLOYMENT]


def _needs_stack(item: pytest.Item) -> bool:
    return "aws_stack" in getattr(item, "fixturenames", ())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests without the stack first, and the one that destroys it last."""
    here = Path(__file__).parent
    own = [number for number, item in enumerate(items) if here in item.path.parents]
    ordered = sorted((items[number] for number in own), key=_needs_stack)
    for number, item in zip(own, ordered, strict=True):
        items[number] = item
    items.sort(key=lambda item: item.name == LAST)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start to deploy with the first test of this folder, in the worker that runs them."""
    config, needing = item.config, [each for each in item.session.items if _needs_stack(each)]
    if needing and _DEPLOYMENT not in config.stash and Path(__file__).parent in item.path.parents:
        config.stash[_DEPLOYMENT] = deployment = StackDeployment()
        config.stash[_PENDING] = {each.nodeid for each in needing if each.name != LAST}
        config.add_cleanup(deployment.stop)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Start the teardown after the last test that needs the stack."""
    pending = item.config.stash.get(_PENDING, set())
    if item.nodeid in pending:
        pending.discard(item.nodeid)
        if not pending:
            item.config.stash[_DEPLOYMENT].start_teardown()
