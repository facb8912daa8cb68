"""One AWS with all of ``infra/terraform`` deployed to it, for the tests of this folder.

The README's steps take minutes, in which Terraform mostly waits. They start with the first test of this
folder and run beside the tests that do not need them. The teardown starts after the last test that does.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from aws.aws_stack import AwsStack, Deployment

_DEPLOYMENT = pytest.StashKey[Deployment]()
_WAITED_FOR = pytest.StashKey[set[str]]()
LAST = "test_taking_it_down_leaves_nothing"


@pytest.fixture(scope="session")
def aws_stack(pytestconfig: pytest.Config) -> AwsStack:
    """Return what the README's steps deployed."""
    return pytestconfig.stash[_DEPLOYMENT].stack()


@pytest.fixture(scope="session")
def aws_deployment(pytestconfig: pytest.Config) -> Deployment:
    """Return the deployment, which also takes it down."""
    return pytestconfig.stash[_DEPLOYMENT]


def _wants_it(item: pytest.Item) -> bool:
    return "aws_stack" in getattr(item, "fixturenames", ())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests without the stack first, and the one that destroys it last."""
    here = Path(__file__).parent
    own = [number for number, item in enumerate(items) if here in item.path.parents]
    ordered = sorted((items[number] for number in own), key=_wants_it)
    for number, item in zip(own, ordered, strict=True):
        items[number] = item
    items.sort(key=lambda item: item.name == LAST)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start to deploy with the first test of this folder, in the worker that runs them."""
    config, wanting = item.config, [each for each in item.session.items if _wants_it(each)]
    if wanting and _DEPLOYMENT not in config.stash and Path(__file__).parent in item.path.parents:
        config.stash[_DEPLOYMENT] = deployment = Deployment()
        config.stash[_WAITED_FOR] = {each.nodeid for each in wanting if each.name != LAST}
        config.add_cleanup(deployment.stop)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Start the teardown after the last test that needs the stack."""
    waited_for = item.config.stash.get(_WAITED_FOR, set())
    if item.nodeid in waited_for:
        waited_for.discard(item.nodeid)
        if not waited_for:
            item.config.stash[_DEPLOYMENT].begin_to_take_down()
