"""The image: everything that a check imports is light, locked, and included."""

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


def distributions():
    """Return each installed top-level package with the distributions that provide it."""
    return {
        name: {canonicalize_name(each) for each in found}
        for name, found in metadata.packages_distributions().items()
    }


def heavy(modules):
    return {name for name in modules if name.partition(".")[0] in HEAVY}


@pytest.fixture(scope="module")
def modules():
    """The modules that checks in fresh interpreters imported; filled by the tests below."""
    return set()


def test_two_concurrent_cold_classification_checks_import_nothing_heavy_and_send_one_trigger(
    aws, trained, modules
):
    deployment = aws.deployment(trained)
    deployment.serve(0, 8, shift=1.5)
    deployment.publish_state()
    processes = [aws.start(event("sample", 5)) for _ in range(2)]
    for report in [aws.report(process) for process in processes]:
        modules.update(report["modules"])
        assert heavy(report["modules"]) == set()
        assert (report["result"]["fired"], report["result"]["performance"]) == (True, "alert")
    assert [sent["trigger_id"] for sent in deployment.queued_messages()] == [
        "sample/2026-03-02T05:00:00+00:00"
    ]


def test_a_regression_check_runs_with_only_the_locked_packages(aws, trained_regression, modules):
    """Optional imports of pandas and others (pytz, cloudpickle, ...) are hidden."""
    deployment = aws.deployment(trained_regression)
    deployment.serve(0, 8)
    deployment.publish_state()
    found, known = distributions(), locked()
    hidden = {name for name in found if not found[name] & known and name != "homeostat"}
    assert hidden > {"sklearn", "mlflow", "airflow"}
    report = aws.report(aws.start(event("sample", 5), hidden=hidden))
    assert heavy(report["modules"]) == set()
    assert report["result"]["performance"] != "pending"
    imported = {name.partition(".")[0] for name in report["modules"]}
    foreign = {name for name in imported if name in found and name != "homeostat"}
    assert len(foreign) > 8
    assert {name for name in foreign if not found[name] & known} == set()
    modules.update(report["modules"])


def test_the_image_includes_every_homeostat_package_that_a_check_imports(modules):
    ours = {name.split(".")[1] for name in modules if name.startswith("homeostat.")}
    assert {"aws", "monitoring", "core"} <= ours
    copied = set(re.findall(r"include/homeostat/(\w+)(?:\.py)?", (IMAGE / "Dockerfile").read_text()))
    assert ours <= copied
    assert [name for name in copied if not list((ROOT / "include" / "homeostat").glob(f"{name}*"))] == []


def test_the_image_pins_the_same_versions_as_the_platform():
    platform, image = (applying(requirements(name), "3.12") for name in ("requirements.txt", LOCK))
    assert image
    assert {name: platform.get(name) for name in image} == image
    assert all(re.fullmatch(r"==[^*,]+", pin) for pins in image.values() for pin in pins)


def test_the_lock_includes_all_dependencies():
    known = locked()
    direct = {canonicalize_name(each.name) for each in requirements("infra/aws_lambda/requirements.in")}
    assert direct <= known
    linux = {"python_version": "3.12", "python_full_version": "3.12.4", "sys_platform": "linux", "extra": ""}
    missing = [
        f"{name} needs {need.name}"
        for name in known
        for need in map(Requirement, metadata.requires(name) or [])
        if (need.marker is None or need.marker.evaluate(linux)) and canonicalize_name(need.name) not in known
    ]
    assert missing == []


def test_the_image_uses_lambdas_base_image_and_calls_the_handler():
    text = (IMAGE / "Dockerfile").read_text()
    base = r"^FROM public\.ecr\.aws/lambda/python:3\.12(@sha256:[0-9a-f]{64})?$"
    assert re.search(base, text, re.MULTILINE)
    assert 'CMD ["homeostat.aws.lambda_handler.handler"]' in text
