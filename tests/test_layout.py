"""The folders are what the README promises, and who may import whom is held by import-linter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROMISED = (
    *("dags", "plugins", "include/homeostat", "include/models", "tests"),
    *("docker-compose.yml", "Dockerfile", "airflow_settings.yaml", "requirements.txt", "requirements.in"),
    *("Makefile", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", ".ci/run"),
)


@pytest.mark.parametrize("path", PROMISED)
def test_the_promised_layout_is_there(path):
    assert (ROOT / path).exists()


def test_the_import_contracts_hold():
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [linter, "--no-cache"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "include")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", ["dags", "plugins"])
def test_no_file_that_airflow_executes_under_its_bare_name_shadows_a_module(folder):
    shadowing = [
        str(path.relative_to(ROOT))
        for path in (ROOT / folder).rglob("*.py")
        if path.stem in sys.stdlib_module_names | {"airflow", "mlflow", "sklearn", "pandas", "numpy", "httpx"}
    ]
    assert shadowing == []


def test_airflow_is_told_not_to_execute_the_packages_below_plugins():
    ignored = (ROOT / "plugins" / ".airflowignore").read_text().split()
    packages = [path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py")]
    assert packages
    assert [name for name in packages if not any(name in line for line in ignored)] == []


def test_nothing_that_holds_secrets_can_be_committed():
    done = subprocess.run(
        ["git", "check-ignore", ".env", ".homeostat/secrets.json", ".venv/x", ".venv-lock/x"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert len(done.stdout.split()) == 4, done.stderr or "the .gitignore lets one of these through"
