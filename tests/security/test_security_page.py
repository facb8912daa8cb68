"""SECURITY.md and the token section of docs/gateway.md match the code."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from homeostat.cli.app import app
from homeostat.config import Settings
from homeostat.serving import Options
from homeostat.serving.auth.token_store import TokenStore
from homeostat.serving.auth.tokens import SCOPES, authorize, parse_tokens

ROOT = Path(__file__).resolve().parents[2]
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
GATEWAY = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")
TOKENS = GATEWAY.partition("## Tokens, keys and limits")[2].partition("\n## ")[0]


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[\w/.]+(?:::\w+)?)`", SECURITY))))
def test_every_test_that_the_page_names_exists(named):
    path, _, name = named.partition("::")
    text = (ROOT / path).read_text(encoding="utf-8")
    assert f"def {name or 'test_'}" in text


def test_every_link_of_the_page_resolves():
    for link in re.findall(r"\]\(([^)\s]+)\)", SECURITY):
        path, _, anchor = link.partition("#")
        text = (ROOT / path).read_text(encoding="utf-8").lower()
        assert not anchor or f"## {anchor.replace('-', ' ')}" in text.replace(",", "")


def test_every_setting_of_the_section_exists_with_its_default():
    rows = dict(re.findall(r"\| `HOMEOSTAT_(\w+)` \| ([^|]+) \|", TOKENS))
    assert len(rows) == 12
    settings, options = Settings.from_env({"HOMEOSTAT_HOME": "/nowhere"}), Options()
    shown = {"max_body_bytes": "8 MiB", "max_header_bytes": "64 KiB", "max_held_bytes": "256 MiB"}
    for name, text in rows.items():
        if not name.startswith("GATEWAY_"):
            assert hasattr(settings, name.lower())
            continue
        value = getattr(options, name.removeprefix("GATEWAY_").lower())
        expected = shown.get(name.removeprefix("GATEWAY_").lower(), f"{value:,g}" if value else "no limit")
        assert f": {expected}" in text, name
    assert (options.max_body_bytes, options.max_header_bytes) == (8 << 20, 64 << 10)
    assert options.max_held_bytes == 256 << 20


def test_the_section_lists_all_scopes():
    assert re.findall(r"^\| `(\w+)` \| `", TOKENS, re.MULTILINE) == list(SCOPES)


def test_the_tokens_file_of_the_section_is_valid(tmp_path):
    path = tmp_path / "tokens.yaml"
    path.write_text(re.search(r"```yaml\n(.*?)```", TOKENS, re.DOTALL)[1], encoding="utf-8")
    settings = Settings.from_env({"HOMEOSTAT_HOME": str(tmp_path), "HOMEOSTAT_TOKENS_FILE": str(path)})
    assert [token.name for token in TokenStore(settings).tokens] == ["scoring-app", "labels-job"]


def test_a_token_from_the_command_line_matches_its_entry():
    done = CliRunner().invoke(app, ["token", "labels-job", "--scope", "label", "--scope", "read"])
    assert done.exit_code == 0, done.output
    secret = re.search(r"^  (homeostat_\S+)$", done.output, re.MULTILINE)[1]
    entry = re.search(r"^- \{.*\}$", done.output, re.MULTILINE)[0]
    tokens = parse_tokens(entry, "entry")
    assert secret not in entry
    assert authorize(f"Bearer {secret}", tokens, "label").name == "labels-job"
    assert authorize(f"Bearer {secret}", tokens, "read").status == 200
    assert authorize(f"Bearer {secret}", tokens, "control").status == 403


@pytest.mark.parametrize("arguments", [["a b", "--scope", "label"], ["x", "--scope", "admin"], ["x"]])
def test_an_invalid_name_or_scope_makes_no_token(arguments):
    done = CliRunner().invoke(app, ["token", *arguments])
    assert done.exit_code != 0
    assert "homeostat_" not in done.output
