"""The table for people says how columns were read that pass, and what could not be read."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from homeostat.adapters.tables import open_table
from homeostat.cli.commands.drift_compare import compare_tables
from homeostat.cli.commands.drift_table import print_table
from homeostat.config.model import Monitor

ROWS = range(200)


def printed(tmp_path, columns, width):
    lines = [";".join(columns), *(";".join(cells) for cells in zip(*columns.values(), strict=True))]
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    tables = [open_table(str(tmp_path / f"{name}.csv")) for name in ("a", "b")]
    console = Console(file=io.StringIO(), width=width)
    print_table(compare_tables(*tables, Monitor(), None, lambda _: None), console)
    return console.file.getvalue()


def numbers(mark=".", unit="", thousands=""):
    return [f"{n % 9 + 1}{thousands}{n % 7 + 100}{mark}{n % 10}{unit}" for n in ROWS]


COLUMNS = {
    "plain": numbers(),
    "comma": numbers(","),
    "words": [*numbers()[1:], "broken"],
    "gaps": ["NA" if n % 3 else str(n / 8) for n in ROWS],
    "open": [f"{n % 9 + 1},{n % 7 + 100}" for n in ROWS],
    "p1": numbers(unit="%"),
    "p2": numbers(unit="%"),
}


@pytest.mark.parametrize("width", [60, 80, 119])
def test_a_narrow_table_has_a_line_for_each_special_reading(tmp_path, width):
    text = " ".join(printed(tmp_path, COLUMNS, width).split())
    assert "words: 1 of 200 values in the reference, 1 of 200 now could not be read as numbers" in text
    assert "('broken') comma: read with decimal commas" in text  # unread values come first
    assert "gaps: 'NA' is read as missing" in text
    assert "open: read with commas between thousands, 1,234 is read as 1234" in text
    assert "p1, p2: read with percentages" in text
    assert "plain:" not in text


def test_a_wide_table_has_them_in_its_rows_only(tmp_path):
    assert printed(tmp_path, COLUMNS, 200).count("read with percentages") == 2


def test_the_lines_are_at_most_ten(tmp_path):
    columns = {f"c{at}": [*numbers()[1:], f"word {at}"] for at in range(14)}
    text = printed(tmp_path, columns, 80)
    assert text.count("could not be read") == 10
    assert "4 more columns that pass have notes on how they were read: --json and --html" in text
