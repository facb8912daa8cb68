"""ARCHITECTURE.md names files and rooms that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "include" / "homeostat"
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PATHS = sorted(set(re.findall(r"`((?:\w+/)*\w+(?:\.py|/))`", PAGE)))


def test_the_page_names_files():
    assert len(PATHS) > 30


@pytest.mark.parametrize("path", PATHS)
def test_a_named_file_exists(path):
    assert (LIBRARY / path).exists() or (ROOT / path).exists()


def test_every_room_is_described():
    rooms = {path.parent.name for path in LIBRARY.glob("*/__init__.py")} | {"ports.py"}
    table = PAGE.partition("## Rooms")[2].partition("\n## ")[0]
    assert rooms - set(re.findall(r"`([\w.]+)`", table)) == set()
