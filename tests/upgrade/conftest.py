"""Copies of release 0.1's installation, and one MLflow server for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlflow_process import running_mlflow
from upgrade.installation import Installation, file_digests, open_installation, restore_mlflow, unpack


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the copy that tests read. Reading must not change the Store."""
    folder = unpack(tmp_path_factory.mktemp("opened"))
    before = file_digests(folder / "state" / "store")
    yield folder
    assert file_digests(folder / "state" / "store") == before


@pytest.fixture(scope="session")
def recorded(opened: Path) -> Iterator[Installation]:
    """The installation, to read; without MLflow."""
    yield from _opened(opened)


@pytest.fixture(scope="session")
def mlflow_url(opened: Path, free_port: Callable[[], int]) -> Iterator[str]:
    """A real MLflow server over the recorded database and artifacts."""
    home = opened / "state" / "mlflow"
    with running_mlflow(home, home / "artifacts", free_port()) as url:
        yield url


@pytest.fixture(scope="session")
def recorded_in_mlflow(opened: Path, mlflow_url: str) -> Iterator[Installation]:
    """The installation with its MLflow, to read."""
    yield from _opened(opened, mlflow_url)


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Installation]:
    """A fresh copy to write to; without MLflow."""
    yield from _opened(unpack(tmp_path))


@pytest.fixture
def copy_in_mlflow(tmp_path: Path, opened: Path, mlflow_url: str) -> Iterator[Installation]:
    """A fresh copy to write to, with MLflow, which is restored at the end."""
    folder = unpack(tmp_path)
    yield from _opened(folder, mlflow_url)
    restore_mlflow(unpack(tmp_path / "again") / "state" / "mlflow", opened / "state" / "mlflow")


def _opened(folder: Path, *mlflow: str) -> Iterator[Installation]:
    found = open_installation(folder, *mlflow)
    yield found
    found.close()
