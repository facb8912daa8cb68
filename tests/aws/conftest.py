"""One AWS with the whole of ``infra/terraform`` deployed to it, for all tests of the session.

Following the README takes minutes, in which Terraform mostly waits: it begins as soon as it is known that a
test wants it, and other tests run in the meantime. Taking it down begins when the last of them is done.
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
    """Everything that the README's steps made, in that AWS."""
    return pytestconfig.stash[_DEPLOYMENT].stack()


@pytest.fixture(scope="session")
def aws_deployment(pytestconfig: pytest.Config) -> Deployment:
    """Who deployed it, and takes it down."""
    return pytestconfig.stash[_DEPLOYMENT]


def _wants_it(item: pytest.Item) -> bool:
    return "aws_stack" in getattr(item, "fixturenames", ())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of these tests those first that can do without it, and the one that destroys it at the end of all."""
    here = Path(__file__).parent
    own = [number for number, item in enumerate(items) if here in item.path.parents]
    ordered = sorted((items[number] for number in own), key=_wants_it)
    for number, item in zip(own, ordered, strict=True):
        items[number] = item
    items.sort(key=lambda item: item.name == LAST)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to deploy when a test wants it."""
    config, wanting = session.config, [item for item in session.items if _wants_it(item)]
    if wanting and not config.option.collectonly:
        config.stash[_DEPLOYMENT] = deployment = Deployment()
        config.stash[_WAITED_FOR] = {item.nodeid for item in wanting if item.name != LAST}
        config.add_cleanup(deployment.stop)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Begin to take it down when its last test is done."""
    waited_for = item.config.stash.get(_WAITED_FOR, set())
    if item.nodeid in waited_for:
        waited_for.discard(item.nodeid)
        if not waited_for:
            item.config.stash[_DEPLOYMENT].begin_to_take_down()
