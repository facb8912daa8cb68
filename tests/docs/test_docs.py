"""The docs name only what exists, and every setting and command is documented."""

import re
from pathlib import Path

import pytest
import yaml

from homeostat.cli.app import app
from homeostat.config.model import Canary, Gate, ModelConfig, Monitor, Rollback, Shadow, Training, Trigger

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "include" / "homeostat"
DECIDES = ROOT / "docs" / "how-homeostat-decides.md"
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
SECTIONS = {
    "monitor": Monitor,
    "trigger": Trigger,
    "training": Training,
    "gate": Gate,
    "shadow": Shadow,
    "canary": Canary,
    "rollback": Rollback,
}


def name(page):
    return str(page.relative_to(ROOT))


def anchors(page):
    """Return GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_have_a_target(page):
    lines = page.read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("    "))  # formulas have brackets, too
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    for link in found:
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def documented():
    """Return every dotted key in the tables of model-yaml.md with its default."""
    rows, section = {}, ""
    for line in (ROOT / "docs" / "model-yaml.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:] if line[3:] in SECTIONS else ""
        elif found := re.match(r"\| `([\w.<>]+)` \| ([^|]+?) \|", line):
            key, default = found.groups()
            rows[f"{section}.{key}" if section and "." not in key else key] = default
    return rows


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_is_documented_with_its_default(section):
    kind, rows = SECTIONS[section], documented()
    for key in kind.model_fields:
        documented_default, default = rows[f"{section}.{key}"], getattr(kind(), key)
        if documented_default.startswith("`"):
            assert getattr(kind(**{key: yaml.safe_load(documented_default.strip("`"))}), key) == default, key
        else:  # described in words
            assert default in (None, ()), key


def test_every_documented_setting_exists():
    own = {f"{section}.{key}" for section, kind in SECTIONS.items() for key in kind.model_fields}
    top = {field.alias or key for key, field in ModelConfig.model_fields.items()}
    for key in documented():
        assert key in own or key.split(".")[0] in {*top - set(SECTIONS), "features"}, key


def test_every_file_named_on_the_decisions_page_exists():
    for path in re.findall(r"`((?:\w+/)*\w+\.py)`", DECIDES.read_text(encoding="utf-8")):
        known = [
            (LIBRARY / path).exists(),
            (ROOT / path).exists(),
            (LIBRARY / "core" / "drift" / path).exists(),
        ]
        assert any(known), path


def test_every_command_is_documented():
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert len(commands) > 10
    missing = [command for command in commands if f"`homeostat {command.replace('_', '-')}" not in text]
    assert missing == []
