"""MkDocs' hooks: pages from outside docs/, generated sections, and links that work on a code host too.

A page of the repository links as a code host wants it: relative to its own file. The site keeps such links
and rewrites those that leave docs/: a Markdown page becomes a page of the site, another file is copied to
``files/`` and opens as text.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import subprocess
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parents[2]
#: Pages outside docs/, and where the site has them.
OUTSIDE = {
    "README.md": "index.md",  # the site has its own first page
    "ARCHITECTURE.md": "architecture.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "infra/terraform/README.md": "terraform.md",
    "benchmarks/README.md": "benchmarks/index.md",
    **{f"benchmarks/{path.name}": f"benchmarks/{path.name}" for path in ROOT.glob("benchmarks/[!R]*.md")},
    **{
        str(path.relative_to(ROOT)): f"examples/{path.parent.name}.md"
        for path in ROOT.glob("include/models/*/README.md")
    },
}
_INSIDE = {page: outside for outside, page in OUTSIDE.items() if page != "index.md"}
#: A link whose text is the name of a page: the site shows the page's title.
_NAMED = re.compile(r"\[([\w-]+\.md)\](?=\(([^)\s#]+))")
_LINK = re.compile(r'(\]\(|\bsrc="|\bhref=")(?![a-z]+:|#)([^)\s"#]+)')
_MARKER = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)
_state: dict[str, Any] = {}


def on_config(config: Any, **_: Any) -> Any:
    """Show pages of docs/ that ``nav`` does not list yet, as *More* under *How-to*."""
    listed = set(re.findall(r"[\w./-]+\.md", json.dumps(config.nav)))
    others = sorted(path.name for path in Path(config.docs_dir).glob("*.md") if path.name not in listed)
    if others:
        how_to = next(each for each in config.nav if "How-to" in each)
        how_to["How-to"].append({"More": others})
    return config


def on_pre_build(config: Any, **_: Any) -> None:  # noqa: ARG001  # MkDocs passes it by name
    """Generate the sections with the Python that has the library: HOMEOSTAT_PYTHON, or .venv's."""
    python = os.environ.get("HOMEOSTAT_PYTHON") or str(ROOT / ".venv" / "bin" / "python")
    path = os.pathsep.join([str(ROOT / "include"), str(ROOT / "plugins")])
    done = subprocess.run(  # noqa: S603  # our own script
        [python, str(ROOT / "infra" / "site" / "sections")],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        msg = f"the generated sections failed:\n{done.stderr[-3000:]}"
        raise PluginError(msg)
    _state["sections"] = json.loads(done.stdout.splitlines()[-1])
    _state["used"] = set()


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the pages from outside docs/, and the files that pages link to."""
    for page, outside in _INSIDE.items():
        # The benchmarks' own first page leads to the others.
        level = (
            InclusionLevel.NOT_IN_NAV if re.match("benchmarks/(?!index)", page) else InclusionLevel.INCLUDED
        )
        files.append(File.generated(config, page, abs_src_path=str(ROOT / outside), inclusion=level))
    for page in files.documentation_pages():
        for target in _targets(page):
            copied = _copied(target)
            if copied and files.get_file_from_path(copied) is None:
                files.append(File.generated(config, copied, content=_content(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite links that leave docs/, and put the generated sections in."""
    source = page.file.src_uri
    home = posixpath.dirname(_repository_path(source))

    def link(found: re.Match[str]) -> str:
        return found[1] + _rewritten(found[2], home, source)

    def section(found: re.Match[str]) -> str:
        name = found[1]
        if name not in _state["sections"]:
            msg = f"{source}: no generated section {name!r}; there are: {', '.join(_state['sections'])}"
            raise PluginError(msg)
        _state["used"].add(name)
        return str(_state["sections"][name])

    def titled(found: re.Match[str]) -> str:
        path = ROOT / posixpath.normpath(posixpath.join(home, found[2]))
        return f"[{_title(path)}]" if path.is_file() and path.name == found[1] else found[0]

    named = _outside_code(markdown, lambda text: _NAMED.sub(titled, text))
    linked = _outside_code(named, lambda text: _LINK.sub(link, text))
    return _MARKER.sub(section, _with_wide_lists(linked))


def on_post_build(config: Any, **_: Any) -> None:  # noqa: ARG001  # MkDocs passes it by name
    """Fail when a generated section is on no page."""
    unused = sorted(set(_state["sections"]) - _state["used"])
    if unused:
        msg = f"generated sections that no page shows: {', '.join(unused)}"
        raise PluginError(msg)


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def _repository_path(source: str) -> str:
    return _INSIDE.get(source, f"docs/{source}")


def _targets(page: File) -> set[str]:
    """Return what a page links to outside of its own folder, as paths of the repository."""
    outside = _repository_path(page.src_uri)
    found: set[str] = set()

    def collect(text: str) -> str:
        for _, link in _LINK.findall(text):
            found.add(posixpath.normpath(posixpath.join(posixpath.dirname(outside), link)))
        return text

    _outside_code((ROOT / outside).read_text(encoding="utf-8"), collect)
    return found


def _copied(target: str) -> str | None:
    """Return where the site has a copy of a file of the repository; None for pages and what is in docs/."""
    if target in OUTSIDE or target.startswith(("docs/", "..")) or not (ROOT / target).exists():
        return None
    return f"files/{target}" if target.endswith((".svg", ".png")) else f"files/{target}.txt"


def _content(path: Path) -> bytes:
    """Return a file's bytes, or the names in a folder."""
    return (
        path.read_bytes()
        if path.is_file()
        else "\n".join(sorted(each.name for each in path.iterdir())).encode()
    )


def _rewritten(link: str, home: str, source: str) -> str:
    target = posixpath.normpath(posixpath.join(home, link))
    if f"{target}/README.md" in OUTSIDE:
        target = f"{target}/README.md"
    found = OUTSIDE.get(target) or _copied(target)
    if found is None and target.startswith("docs/"):
        found = target.removeprefix("docs/")
    if found is None:
        return link  # MkDocs reports it
    return posixpath.relpath(found, posixpath.dirname(source) or ".")


def _with_wide_lists(markdown: str) -> str:
    """Indent what belongs to a list item by four columns; code hosts need two or three."""
    lines, added, fence = [], 0, ""
    for line in markdown.split("\n"):
        top = re.match(r"(```+|~~~+)", line)
        if top and (not fence or top[1].startswith(fence)):
            fence, added = "" if fence else top[1], 0
        item = re.match(r"(-|\d\.) ", line)
        if fence or not line.strip():
            lines.append(line)
        elif item:
            added = 3 - len(item[1])
            lines.append(line)
        elif added and line.startswith(" " * (4 - added)):
            lines.append(" " * added + line)
        else:
            added = 0
            lines.append(line)
    return "\n".join(lines)


def _outside_code(markdown: str, change: Any) -> str:
    """Apply a change to each line outside of code blocks."""
    lines, fence = [], ""
    for line in markdown.split("\n"):
        opening = re.match(r"\s*(```+|~~~+)", line)
        if opening and (not fence or opening[1].startswith(fence)):
            fence = "" if fence else opening[1]
            # A second word names a block for a test; MkDocs would take the line for text.
            lines.append(re.sub(r"^(\s*[`~]{3,}\S*).*", r"\1", line))
        else:
            lines.append(line if fence or line.startswith("    ") else change(line))
    return "\n".join(lines)
