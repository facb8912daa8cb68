"""The lock is complete, exact, and tells nobody where it was made."""

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
    """Pins that apply to this Python on Linux, by canonical name."""
    here = {
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
        if each.marker is None or each.marker.evaluate(here):
            pins.setdefault(canonicalize_name(each.name), []).append(str(each.specifier))
    return pins


@pytest.mark.parametrize("lock", OWN + PEERS)
def test_every_line_of_the_lock_is_one_exact_version(lock):
    loose = [str(each) for each in requirements(lock) if not re.fullmatch(r"==[^*,]+", str(each.specifier))]
    assert loose == []


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("stem", ["requirements", "requirements-dev"])
def test_every_direct_dependency_has_one_pin_that_suits_it(stem, python):
    pins = applying(requirements(f"{stem}.txt"), python)
    wrong = []
    for name, asked in applying(requirements(f"{stem}.in"), python).items():
        found = pins.get(name, [])
        version = found[0].removeprefix("==") if len(found) == 1 else None
        if version is None or not Requirement(f"{name}{asked[0]}").specifier.contains(
            version, prereleases=True
        ):
            wrong.append(f"{name}{asked[0]}: {found or 'not in the lock'}; run 'make lock'")
    assert wrong == []


def test_every_peer_that_is_asked_for_is_locked():
    asked = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "benchmarks/peers").glob("*.in"))
    assert asked
    assert [name.removesuffix(".in") + ".txt" for name in asked] == PEERS


@pytest.mark.parametrize("python", PYTHONS)
def test_both_locks_agree(python):
    runtime = applying(requirements("requirements.txt"), python)
    tools = applying(requirements("requirements-dev.txt"), python)
    assert {name: tools[name] for name in tools.keys() & runtime.keys()} == {
        name: runtime[name] for name in tools.keys() & runtime.keys()
    }


def test_whatever_a_locked_package_needs_is_locked():
    """`pip install --no-deps` installs the whole of it: read from the installed packages' own metadata."""
    python = ".".join(platform.python_version_tuple()[:2])
    pins = applying(requirements("requirements.txt"), python)
    missing = []
    for name in pins:
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # locked since this environment was set up
        for need in map(Requirement, needs):
            wanted = need.marker is None or need.marker.evaluate({"extra": ""})
            if wanted and canonicalize_name(need.name) not in pins:
                missing.append(f"{name} needs {need.name}")
    assert missing == []


@pytest.mark.parametrize("lock", OWN + PEERS)
def test_the_lock_names_no_registry_and_no_folder(lock):
    text = (ROOT / lock).read_text()
    assert not re.search(
        r"://|--(extra-)?index|--find-links|--trusted-host|^\s*-e|\s@\s|(?<!\w)/\w+/", text, re.MULTILINE
    )
