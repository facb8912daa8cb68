"""The documentation's site: built strictly, with everything that the code has, and nothing from elsewhere."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer
from markdown_it import MarkdownIt
from packaging.requirements import Requirement

import homeostat
import homeostat.serving.metrics as metrics_module
from homeostat.cli.app import app
from homeostat.config import Settings
from homeostat.core.rollout.event_kinds import EventKind
from homeostat.core.trigger.reasons import TriggerReason
from homeostat.ports import NoticeKind
from homeostat.serving.http import control_api
from homeostat.serving.options import Options
from homeostat.serving.verdict_families import FAMILIES

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "infra" / "site"
pytestmark = pytest.mark.timeout(600)


def mkdocs() -> str:
    """Return the program of the site's own environment; without it the test is skipped, aloud."""
    own = ROOT / ".venv-site" / "bin" / "mkdocs"
    program = str(own) if own.exists() else shutil.which("mkdocs")
    if program is None:
        message = "mkdocs is not installed, so the site is not built: `make test` installs it"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return program


def build(to: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOMEOSTAT_PYTHON": sys.executable, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(
        [mkdocs(), "build", "--site-dir", to, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


class Page(HTMLParser):
    """What a page shows, links to and loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.words: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.counts: dict[str, int] = {}
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        found = {name: value or "" for name, value in attributes}
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if "id" in found:
            self.ids.add(found["id"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        loads = {
            "script": "src",
            "img": "src",
            "iframe": "src",
            "source": "src",
            "video": "src",
            "object": "data",
        }
        if found.get(loads.get(tag, "")):
            self.loaded.append(found[loads[tag]])
        if tag == "link" and found.get("rel") not in ("prev", "next", "canonical"):
            self.loaded.append(found.get("href", ""))

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built pages by their path."""
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return {str(path.relative_to(folder)): Page(path) for path in folder.rglob("*.html")}, folder


def text(site, page):
    return site[0][page].text


def test_nothing_is_loaded_from_elsewhere(site):
    pages, folder = site
    assert len(pages) > 40
    for path, page in pages.items():
        assert [each for each in page.loaded if urlsplit(each).scheme or each.startswith("//")] == [], path
    for sheet in folder.rglob("*.css"):
        content = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", content) == [], sheet
    assert not [name for name in pages if "mermaid" in pages[name].source]  # the theme would fetch its script


def test_every_link_and_anchor_has_a_target(site):
    pages, folder = site
    wrong = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or path == "404.html":
                continue
            target = (folder / path).parent / unquote(parts.path) if parts.path else folder / path
            if target.is_dir():
                target /= "index.html"
            known = pages.get(os.path.relpath(target, folder))
            if not target.exists() or (parts.fragment and known and unquote(parts.fragment) not in known.ids):
                wrong.append(f"{path}: {link}")
    assert wrong == []


@pytest.mark.parametrize("page", ["existing-airflow", "upgrade", "gateway", "models", "alerts"])
def test_lists_and_code_are_those_of_a_code_host(site, page):
    source = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    expected = MarkdownIt("commonmark").enable("table").render(source)
    shown = site[0][f"{page}.html"].source
    article = shown[shown.index("<article") : shown.index("</article>")]
    for tag in ("li", "ol", "pre", "table"):
        assert len(re.findall(f"<{tag}[ >]", article)) == len(re.findall(f"<{tag}[ >]", expected)), tag


def test_no_mark_of_markdown_is_left_in_the_text(site):
    """A fence with a second word, a list without an empty line: text for MkDocs, not for a code host."""
    pages, _ = site
    assert [path for path, page in pages.items() if "```" in page.text] == []
    assert [path for path, page in pages.items() if re.search(r"\w \|-?---", page.text)] == []


def test_the_search_works_without_a_server(site):
    _, folder = site
    index = (folder / "search" / "search_index.js").read_text(encoding="utf-8")
    assert index.startswith("var __index")
    assert "performance_decay_critical" in index
    assert (folder / "assets" / "iframe-worker.js").exists()


def test_a_wrong_link_or_anchor_fails_the_build(tmp_path):
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", docs)
    (docs / "glossary.md").write_text("# Glossary\n\n[a](no-such-page.md), [b](data.md#no-such-anchor)\n")
    (tmp_path / "mkdocs.yml").write_text(
        f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: {docs}\nplugins: []\n"
        f"hooks: []\ntheme: {{name: material, custom_dir: {SITE / 'theme'}}}\n"
    )
    done = build(tmp_path / "site", "--config-file", str(tmp_path / "mkdocs.yml"))
    assert done.returncode != 0
    assert "no-such-page.md" in done.stderr
    assert "no-such-anchor" in done.stderr


def test_every_command_and_option_is_in_the_reference(site):
    shown = text(site, "command-line.html")
    for name, command in typer.main.get_command(app).commands.items():
        assert f"homeostat {name}" in shown
        for param in command.params:
            if (
                not getattr(param, "hidden", False)
                and param.param_type_name == "option"
                and param.name != "help"
            ):
                assert param.opts[0] in shown, (name, param.opts)


def test_every_setting_of_the_environment_is_in_the_reference(site):
    shown = text(site, "settings.html")
    source = inspect.getsource(Settings)
    assert set(re.findall(r'env\.get\("(\w+)"', source)) | set(
        re.findall(r'"(HOMEOSTAT_\w+)"', source)
    ) <= set(re.findall(r"\w+", shown))
    for field in fields(Options):
        name = "NAME" if field.name == "gateway" else field.name.upper()
        assert re.search(rf"HOMEOSTAT_GATEWAY_{name} (\S+|the host's name) \w", shown), name


def test_every_path_of_the_gateway_is_in_the_reference(site):
    sections = SITE / "sections"
    code = (
        f"import sys; sys.path.insert(0, {str(sections)!r}); import example_gateway\n"
        "from homeostat.serving.http import control_api\n"
        "document = control_api.build(example_gateway.runtime()).openapi()\n"
        "print([m.upper() + ' ' + p for p, item in document['paths'].items() for m in item])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = eval(done.stdout)  # noqa: S307  # our own list
    declared = set(re.findall(r'@router\.(?:get|post)\(\s*"([^"]+)"', inspect.getsource(control_api)))
    assert {"/ping", "/metrics", "/models/{model}/approve"} <= declared
    shown = text(site, "http-api.html")
    for path in found:
        assert path in shown
    for path in declared:
        assert path in shown, path


def test_every_metric_in_the_code_is_in_the_reference(site):
    named = set()
    for path in Path(metrics_module.__file__).parent.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        named |= set(re.findall(r'"(homeostat_[a-z_]+)"', source))
    named -= {"homeostat_sklearn"}  # a platform's name
    named |= {f"homeostat_{family[0]}" for family in FAMILIES}
    assert len(named) > 40
    shown = text(site, "metrics.html")
    assert [name for name in sorted(named) if name not in shown] == []


def test_every_event_notice_and_reason_is_in_the_reference(site):
    shown = text(site, "events.html").split()
    for kind in (*EventKind, *NoticeKind, *TriggerReason):
        assert kind.value in " ".join(shown), kind


def test_every_public_name_is_in_the_python_reference(site):
    from homeostat_airflow import operators

    page = site[0]["python-reference.html"]
    for name in {*homeostat.__all__, *operators.__all__} - {"__version__", "TRIGGER_FIELDS"}:
        assert any(each.rpartition(".")[2] == name for each in page.ids), name
    for name in ("predict", "label", "promote", "rollback", "status"):
        assert f"homeostat.api.client.Client.{name}" in page.ids
    assert ":meth:" not in page.text
    assert ":class:" not in page.text


def test_every_page_of_the_site_is_in_the_navigation(site):
    home = site[0]["index.html"]
    reached = {unescape(link).partition("#")[0] for link in home.links}
    missing = (
        {path.with_suffix(".html").name for path in (ROOT / "docs").glob("*.md")} - reached - {"index.html"}
    )
    assert missing == set()


@pytest.mark.parametrize("name", ["loop", "architecture"])
def test_a_picture_is_that_of_its_script(name, monkeypatch):
    import runpy

    script = ROOT / "docs" / "pictures" / f"draw_{name}.py"
    monkeypatch.syspath_prepend(script.parent)
    drawn = runpy.run_path(str(script))["svg"]()
    assert script.with_name(f"{name}.svg").read_text(encoding="utf-8") == drawn


def test_the_lock_is_exact_and_names_no_registry():
    lines = [line.split("#")[0].strip() for line in (SITE / "requirements.txt").read_text().splitlines()]
    pins = [Requirement(line) for line in lines if line]
    assert [str(pin) for pin in pins if not re.fullmatch(r"==[^*,]+", str(pin.specifier))] == []
    asked = [line.split("#")[0].strip() for line in (SITE / "requirements.in").read_text().splitlines()]
    names = {pin.name for pin in pins}
    assert {Requirement(each).name for each in asked if each} <= names
    assert "://" not in (SITE / "requirements.txt").read_text()
