"""The lock files are complete, exact, and name no registry or local path."""

import platform
import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
OWN = ["requirements.txt", "requirements-dev.txt"]
PEERS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "benchmarks/peers").glob("*.txt"))


def requirements(name: str) -> list[Requirement]:
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in (ROOT / name).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def applying(found: list[Requirement], python: str) -> dict[str, list[str]]:
    """Return the pins for this Python on Linux, by canonical name."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.4",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    pins: dict[str, list[str]] = {}
    for each in found:
        if each.marker is None or each.marker.evaluate(environment):
            pins.setdefault(canonicalize_name(each.name), []).append(str(each.specifier))
    return pins


@pytest.mark.parametrize("lock", OWN + PEERS)
def test_every_line_of_a_lock_pins_one_exact_version(lock):
    loose = [str(each) for each in requirements(lock) if not re.fullmatch(r"==[^*,]+", str(each.specifier))]
    assert loose == []


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("stem", ["requirements", "requirements-dev"])
def test_every_direct_dependency_has_one_matching_pin(stem, python):
    pins = applying(requirements(f"{stem}.txt"), python)
    wrong = []
    for name, required in applying(requirements(f"{stem}.in"), python).items():
        found = pins.get(name, [])
        version = found[0].removeprefix("==") if len(found) == 1 else None
        if version is None or not Requirement(f"{name}{required[0]}").specifier.contains(
            version, prereleases=True
        ):
            wrong.append(f"{name}{required[0]}: {found or 'not in the lock'}; run 'make lock'")
    assert wrong == []


def test_every_compared_library_is_locked():
    inputs = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "benchmarks/peers").glob("*.in"))
    assert inputs
    assert [name.removesuffix(".in") + ".txt" for name in inputs] == PEERS


@pytest.mark.parametrize("python", PYTHONS)
def test_both_locks_agree(python):
    runtime = applying(requirements("requirements.txt"), python)
    tools = applying(requirements("requirements-dev.txt"), python)
    assert {name: tools[name] for name in tools.keys() & runtime.keys()} == {
        name: runtime[name] for name in tools.keys() & runtime.keys()
    }


def test_every_dependency_of_a_locked_package_is_locked():
    """`pip install --no-deps` requires a complete lock; dependencies are read from installed packages."""
    python = ".".join(platform.python_version_tuple()[:2])
    pins = applying(requirements("requirements.txt"), python)
    missing = []
    for name in pins:
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # locked, but not installed yet
        for need in map(Requirement, needs):
            wanted = need.marker is None or need.marker.evaluate({"extra": ""})
            if wanted and canonicalize_name(need.name) not in pins:
                missing.append(f"{name} needs {need.name}")
    assert missing == []


@pytest.mark.parametrize("lock", OWN + PEERS)
def test_a_lock_names_no_registry_and_no_path(lock):
    text = (ROOT / lock).read_text()
    assert not re.search(
        r"://|--(extra-)?index|--find-links|--trusted-host|^\s*-e|\s@\s|(?<!\w)/\w+/", text, re.MULTILINE
    )
