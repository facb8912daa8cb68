"""The wheel, in a fresh virtualenv with the core's dependencies alone: it runs, and names what it lacks."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import homeostat

ROOT = Path(__file__).resolve().parents[2]
NOT_CORE = ("airflow", "mlflow", "sklearn", "great_expectations", "httpx", "sqlalchemy", "boto3", "fastapi")
#: As `make dist`: the wheel is built from the source distribution, so that both must be complete.
SDIST = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
LOADED = """
import sys
before = set(sys.modules)
import {module}
tops = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(*sorted(tops - set(sys.stdlib_module_names)))
"""


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    """Run a command in a virtualenv with the wheel and its own dependencies, away from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("include", "plugins"):
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__")
        )
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command, status=0, cwd=folder, **more):
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env={**env, **more, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
    run(sys.executable, "-c", SDIST, folder, cwd=source)
    [sdist] = folder.glob("homeostat-*.tar.gz")
    run(sys.executable, *pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, sdist)
    run(sys.executable, "-m", "venv", folder / "venv")
    [wheel] = folder.glob("homeostat-*.whl")
    run(folder / "venv/bin/python", *pip, "install", wheel)
    return lambda program, *arguments, **how: run(folder / "venv/bin" / program, *arguments, **how)


pytestmark = pytest.mark.slow


def files_of(folder):
    """The text of each file below a folder, without what Python makes there."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_only_the_core_is_installed(core):
    code = f"import importlib.util as u; print(*[m for m in {NOT_CORE} if u.find_spec(m)])"
    assert core("python", "-c", code).split() == []


@pytest.mark.parametrize(("module", "most"), [("homeostat", 0), ("homeostat.cli.app", 15)])
def test_an_import_loads_few_packages(core, module, most):
    loaded = core("python", "-c", LOADED.format(module=module)).split()
    assert len(set(loaded) - {"homeostat"}) <= most, loaded
    assert not {"numpy", "pandas", "pyarrow", "scipy"} & set(loaded)


def test_the_command_line_starts_and_has_the_packages_version(core):
    assert core("homeostat", "--version").split() == ["homeostat", homeostat.__version__]
    assert "drift" in core("homeostat", "--help")
    code = "from importlib.metadata import version; print(version('homeostat'))"
    assert core("python", "-c", code).strip() == homeostat.__version__


def test_drift_compares_two_files(core, tmp_path):
    rng = np.random.default_rng(5)
    before = pd.DataFrame({"x": rng.normal(size=2000), "kind": rng.choice(list("abc"), 2000)})
    before.to_csv(tmp_path / "before.csv", index=False)
    before.assign(x=before["x"] + 1).to_parquet(tmp_path / "now.parquet")
    files = ("--reference", tmp_path / "before.csv", "--current", tmp_path / "now.parquet")
    found = json.loads(core("homeostat", "drift", *files, "--json"))
    assert {name: column["verdict"] for name, column in found["columns"].items()} == {
        "x": "alert",
        "kind": "pass",
    }
    core("homeostat", "drift", *files, "--html", tmp_path / "drift.html")
    assert "<html" in (tmp_path / "drift.html").read_text()


def test_the_python_interface_works_and_names_what_it_lacks(core):
    code = """
import pandas as pd
import homeostat
frame = pd.DataFrame({"x": range(100)})
print(homeostat.drift(frame, frame).verdict, homeostat.Profile.make(frame).rows)
try:
    homeostat.Client()
except homeostat.HomeostatError as error:
    print(error)
"""
    said = core("python", "-c", code)
    assert said.startswith("pass 100")
    assert "homeostat[client]" in said


@pytest.mark.parametrize("example", ["bike_demand", "pump_fault"])
def test_new_brings_a_demo_model_whole(core, tmp_path, example):
    core("homeostat", "new", "--example", example, HOMEOSTAT_MODELS=str(tmp_path))
    assert files_of(tmp_path / example) == files_of(ROOT / "include" / "models" / example)
    code = "from homeostat.config import Settings; print(*Settings.from_env().model_names())"
    assert core("python", "-c", code, HOMEOSTAT_MODELS=str(tmp_path)).split() == [example]


def test_the_wheel_holds_the_packages_the_demo_models_and_nothing_else(core):
    code = "from importlib.metadata import files; print(*files('homeostat'), sep='\\n')"
    packed = {Path(line) for line in core("python", "-c", code).split() if "dist-info" not in line}
    suffixes = {path.suffix for path in packed if "__pycache__" not in path.parts}
    assert suffixes == {
        *("", ".py", ".html", ".yaml", ".tmpl", ".md", ".typed"),
        *(".css", ".js", ".LICENSE"),  # of the pages of model health
    }
    models = {path.parts[2] for path in packed if path.parts[:2] == ("homeostat", "examples")}
    assert models == {"bike_demand", "pump_fault"}


def test_a_missing_extra_is_named_also_where_the_port_is_taken(core):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = core("homeostat", "gateway", "--port", taken.getsockname()[1], status=1)
    assert "python -m pip install 'homeostat[gateway]'" in said


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("status",), "client"),
        (("gateway",), "gateway"),
        (("train-step", "mine", "--run-key", "1"), "mlflow"),
        (("up",), "client"),
    ],
)
def test_a_missing_extra_is_answered_by_the_command_that_installs_it(core, command, extra):
    if command[0] == "train-step":
        core("homeostat", "new", "mine")
    said = core("homeostat", *command, status=1)
    assert f"python -m pip install 'homeostat[{extra}]'" in said
    assert "Traceback" not in said
