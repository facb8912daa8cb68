"""A cold container: what a check imports is light, locked, and in the image."""

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from aws_lambda.lambda_fixture import event
from test_lock import applying, requirements

ROOT = Path(__file__).resolve().parents[2]
IMAGE = ROOT / "infra" / "aws_lambda"
LOCK = "infra/aws_lambda/requirements.txt"
HEAVY = {"airflow", "mlflow", "sklearn", "skops", "matplotlib", "great_expectations", "sqlalchemy"}


def locked():
    return {canonicalize_name(each.name) for each in requirements(LOCK)}


def belonging():
    """Each installed top-level package, with the distributions that it may come from."""
    return {
        name: {canonicalize_name(each) for each in found}
        for name, found in metadata.packages_distributions().items()
    }


def heavy(modules):
    return {name for name in modules if name.partition(".")[0] in HEAVY}


@pytest.fixture(scope="module")
def modules():
    """What fresh interpreters have imported when their check is done; the tests below fill it."""
    return set()


def test_cold_checks_of_classes_import_nothing_heavy_and_two_at_once_send_one_trigger(
    cloud, trained, modules
):
    both = cloud.both(trained)
    both.serve(0, 8, shift=1.5)
    both.publish()
    started = [cloud.start(event("toy", 5)) for _ in range(2)]
    for told in [cloud.told(process) for process in started]:
        modules.update(told["modules"])
        assert heavy(told["modules"]) == set()
        assert (told["answer"]["fired"], told["answer"]["performance"]) == (True, "alert")
    assert [sent["trigger_id"] for sent in both.waiting()] == ["toy/2026-03-02T05:00:00+00:00"]


def test_a_check_of_numbers_runs_where_only_the_lock_is_installed(cloud, trained_regression, modules):
    """What pandas and others would import if it were there (pytz, cloudpickle, ...) is hidden from them."""
    both = cloud.both(trained_regression)
    both.serve(0, 8)
    both.publish()
    found, known = belonging(), locked()
    hidden = {name for name in found if not found[name] & known and name != "homeostat"}
    assert hidden > {"sklearn", "mlflow", "airflow"}
    told = cloud.told(cloud.start(event("toy", 5), hidden=hidden))
    assert heavy(told["modules"]) == set()
    assert told["answer"]["performance"] != "pending"
    imported = {name.partition(".")[0] for name in told["modules"]}
    foreign = {name for name in imported if name in found and name != "homeostat"}
    assert len(foreign) > 8
    assert {name for name in foreign if not found[name] & known} == set()
    modules.update(told["modules"])


def test_the_image_holds_every_package_of_ours_that_a_check_imports(modules):
    ours = {name.split(".")[1] for name in modules if name.startswith("homeostat.")}
    assert {"aws", "monitoring", "core"} <= ours
    copied = set(re.findall(r"include/homeostat/(\w+)(?:\.py)?", (IMAGE / "Dockerfile").read_text()))
    assert ours <= copied
    assert [name for name in copied if not list((ROOT / "include" / "homeostat").glob(f"{name}*"))] == []


def test_the_image_has_the_versions_of_the_platform():
    platform, image = (applying(requirements(name), "3.12") for name in ("requirements.txt", LOCK))
    assert image
    assert {name: platform.get(name) for name in image} == image
    assert all(re.fullmatch(r"==[^*,]+", pin) for pins in image.values() for pin in pins)


def test_what_is_asked_for_is_locked_and_so_is_all_that_it_needs():
    known = locked()
    asked = {canonicalize_name(each.name) for each in requirements("infra/aws_lambda/requirements.in")}
    assert asked <= known
    linux = {"python_version": "3.12", "python_full_version": "3.12.4", "sys_platform": "linux", "extra": ""}
    missing = [
        f"{name} needs {need.name}"
        for name in known
        for need in map(Requirement, metadata.requires(name) or [])
        if (need.marker is None or need.marker.evaluate(linux)) and canonicalize_name(need.name) not in known
    ]
    assert missing == []


def test_the_image_starts_from_the_python_of_lambda_and_calls_the_handler():
    text = (IMAGE / "Dockerfile").read_text()
    base = r"^FROM public\.ecr\.aws/lambda/python:3\.12(@sha256:[0-9a-f]{64})?$"
    assert re.search(base, text, re.MULTILINE)
    assert 'CMD ["homeostat.aws.lambda_handler.handler"]' in text
