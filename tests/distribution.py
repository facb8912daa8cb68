"""Which tests run in the same worker of pytest-xdist (``make test`` has two), and in which order.

Tests of one file run in one worker, so that they share its fixtures. So do the tests of a folder that share a
server. The longest groups start first, so that the two workers end at about the same time.

A scheduler of our own: ``--dist loadgroup`` of pytest-xdist 3.8 has no effect with pytest 9.2.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from collections.abc import Sequence

TESTS = Path(__file__).parent
#: Folders whose tests share expensive servers.
SHARED = ("aws", "aws_lambda", "dags", "upgrade")
#: Folders whose tests take minutes each and share nothing.
SINGLE = ("e2e",)
#: Groups that start first, longest first; the others follow in the order of their files.
FIRST = ("aws", "e2e", "dags")
#: Folders of pure decisions: `make quick` runs them.
PURE = ("config", "core", "figures")


class GroupScheduling(LoadScopeScheduling):
    """Gives a worker one group of tests after the other."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """Return the group of a test: its folder, its file, or itself."""
    path = nodeid.partition("::")[0]
    folder = _folder(Path(path).parts)
    if folder in SHARED:
        return folder
    return nodeid if folder in SINGLE else path


def arrange(items: list[pytest.Item]) -> None:
    """Sort the tests by group, and mark those of `make quick`."""
    position = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: position.get(_folder(_parts(item)), len(FIRST)))
    for item in items:
        if _folder(_parts(item)) in PURE and item.get_closest_marker("exhaustive") is None:
            item.add_marker(pytest.mark.quick)


def _parts(item: pytest.Item) -> Sequence[str]:
    return (TESTS.name, *item.path.relative_to(TESTS).parts)


def _folder(parts: Sequence[str]) -> str:
    """Return the folder below ``tests``; empty for a file in ``tests`` itself."""
    return parts[1] if len(parts) > 2 else ""
