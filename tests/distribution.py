"""Which tests run one after another in the same worker of pytest-xdist (``make test`` has two).

Tests that share an expensive server or a module's fixture form a group. The longest groups start first, so
that the two workers end at about the same time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
#: Fixtures that start a server for the whole session, with the group of the tests that use them.
SERVERS = {"airflow": "airflow", "airflow_home": "airflow", "mlflow_server": "mlflow"}
#: Folders whose tests share servers of their own.
FOLDERS = {"aws": "aws", "upgrade": "upgrade"}
#: Folders of pure decisions: `make quick` runs them.
PURE = ("config", "core", "figures")
#: Groups that start first, longest first; the others follow in the order of their files.
FIRST = ("aws", "e2e/test_the_loop.py", "airflow", "mlflow")


def group_of(item: pytest.Item) -> str:
    """Return the name of the test's group: its folder's or its server's, otherwise its file."""
    path = item.path.relative_to(TESTS)
    if path.parts[0] in FOLDERS:
        return FOLDERS[path.parts[0]]
    fixtures = getattr(item, "fixturenames", ())
    return next((SERVERS[name] for name in SERVERS if name in fixtures), str(path))


def distribute(items: list[pytest.Item]) -> None:
    """Mark each test with its group and sort the groups."""
    position = {name: number for number, name in enumerate(FIRST)}
    groups = {item: group_of(item) for item in items}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
        pure = item.path.relative_to(TESTS).parts[0] in PURE
        if pure and item.get_closest_marker("exhaustive") is None:
            item.add_marker(pytest.mark.quick)
    items.sort(key=lambda item: position.get(groups[item], len(FIRST)))
