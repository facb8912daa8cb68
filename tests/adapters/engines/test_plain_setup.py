"""What the image and ``make setup`` install opens tables of DuckDB and PostgreSQL; no extra is needed."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
#: Hides the modules of its first argument, then counts the rows of its second.
COUNT_ROWS = """
import importlib.abc, sys
hidden = set(sys.argv[1].split(","))
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"{name} is a tool of developers", name=name)
sys.meta_path.insert(0, Hide())
from homeostat.adapters.engines.any_table import open_any_table
with open_any_table(sys.argv[2]) as table:
    print(table.count_rows(), *table.names)
import psycopg
"""


def locked(name: str) -> set[str]:
    return {
        canonicalize_name(each)
        for each in re.findall(r"(?m)^([\w.-]+)(?:\[[^]]*\])?==", (ROOT / name).read_text())
    }


def tools_only() -> list[str]:
    """Return the modules that only ``requirements-dev.txt`` installs."""
    runtime = locked("requirements.txt")
    tools = locked("requirements-dev.txt") - runtime
    owners = {
        module: {canonicalize_name(name) for name in names}
        for module, names in metadata.packages_distributions().items()
    }
    return sorted(module for module, names in owners.items() if names & tools and not names & runtime)


def test_a_folder_of_parquet_is_opened_by_duckdb_without_the_tools_of_developers(tmp_path):
    hidden = tools_only()
    if "hypothesis" not in hidden:
        pytest.skip("requirements-dev.txt is not installed, so nothing would be hidden")
    for month in (1, 2):
        folder = tmp_path / "rows" / f"month={month}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"x": [1.0, 2.0, None]}), folder / "part.parquet")
    done = subprocess.run(
        [sys.executable, "-c", COUNT_ROWS, ",".join(hidden), f"duckdb://{tmp_path / 'rows'}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["6", "x", "month"], done.stderr
    assert done.returncode == 0, done.stderr
