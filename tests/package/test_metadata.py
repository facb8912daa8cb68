"""The package's metadata agrees with the lock, with the extras that errors name, and with the image."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import homeostat
from homeostat.config.errors import MissingExtra
from homeostat.config.extras import EXTRAS, optional_libraries

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONAL = PROJECT["optional-dependencies"]
NAMES = {
    "ibis": "ibis-framework",
    "sklearn": "scikit-learn",
    "airflow": "apache-airflow",
    "psycopg2": "psycopg2-binary",
    "opentelemetry": "opentelemetry-sdk",
}
#: Modules that come with another library of the extra.
WITH = {
    "apprise": "apache-airflow-providers-apprise",
    "requests": "mlflow",
    "starlette": "fastapi",
    "botocore": "boto3",
}


def test_the_version_is_the_same_in_package_image_and_compose_file():
    version = homeostat.__version__
    assert f'org.opencontainers.image.version="{version}"' in (ROOT / "Dockerfile").read_text()
    assert f"image: homeostat:{version}\n" in (ROOT / "docker-compose.yml").read_text()
    assert f"\n## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    "path", ["docs/existing-airflow.md", "docs/python-api.md", "infra/kubernetes/Dockerfile"]
)
def test_the_wheel_and_the_airflow_that_a_page_names_are_those_of_this_release(path):
    text = (ROOT / path).read_text()
    assert set(re.findall(r"homeostat-([\w.]+)-py3-none-any\.whl", text)) == {homeostat.__version__}
    assert set(re.findall(r"apache/airflow:(\S+)", text)) <= set(locked()["apache-airflow"])
    assert set(re.findall(r"homeostat\[[\w,]+\]==([\w.]+)", text)) <= {homeostat.__version__}


def locked() -> dict[str, list[str]]:
    pins: dict[str, list[str]] = {}
    for name, version in re.findall(
        r"(?m)^([\w.-]+)(?:\[[^]]*\])?==([^\s;]+)", (ROOT / "requirements.txt").read_text()
    ):
        pins.setdefault(canonicalize_name(name), []).append(version)
    return pins


def test_the_lock_is_inside_every_range():
    pins = locked()
    lines = (*PROJECT["dependencies"], *(line for lines in OPTIONAL.values() for line in lines))
    required = {line: Requirement(line) for line in lines}
    outside = [
        (line, version)
        for line, each in required.items()
        for version in pins.get(canonicalize_name(each.name), [])
        if not each.specifier.contains(version)
    ]
    assert outside == []


def test_nothing_is_pinned():
    lines = (*PROJECT["dependencies"], *(line for lines in OPTIONAL.values() for line in lines))
    assert [line for line in lines if "==" in line] == []


@pytest.mark.parametrize("module", EXTRAS)
def test_the_extra_that_an_error_names_installs_the_library(module):
    distribution = WITH.get(module) or NAMES.get(module, module)
    direct = {canonicalize_name(Requirement(line).name) for line in OPTIONAL[EXTRAS[module]]}
    assert canonicalize_name(distribution) in direct


@pytest.mark.parametrize("module", ["nothing_of_this_name", "homeostat.nothing"])
def test_a_library_of_no_extra_stays_the_error_that_it_is(module):
    with pytest.raises(ModuleNotFoundError), optional_libraries():
        importlib.import_module(module)


def test_a_submodule_names_the_extra_of_its_library():
    with pytest.raises(MissingExtra, match=r"homeostat\[mlflow\]"), optional_libraries():
        raise ModuleNotFoundError(name="mlflow.tracking")
