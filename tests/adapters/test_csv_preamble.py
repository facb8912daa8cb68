"""Comments and titles above the column names are no column names, and column names are no comments."""

from __future__ import annotations

import pytest

from homeostat.adapters.tables import open_table
from homeostat.config.errors import DataError

NUMBERS = [["x", "g", "n"], *([f"{n / 8}", "ab"[n % 2], f"{n * n}"] for n in range(1, 40))]
WORDS = [["town", "colour", "shape"], *(["AB"[n % 2], "rgb"[n % 3], "xyz"[n % 3]] for n in range(40))]
TWO = [row[:2] for row in NUMBERS]


def read(path, text):
    path.write_text(text, newline="")
    table = open_table(str(path))
    return table.names, [
        list(row.values()) for batch in table.batches(table.names) for row in batch.to_pylist()
    ]


def lines(rows, separator, newline="\n"):
    return "".join(separator.join(row) + newline for row in rows)


PREAMBLES = {
    "a comment": "# exported by me{0} 2024{0} again",
    "a comment of another width": "# exported by me",
    "a comment with a comma": "# exported by me, 2024",
    "comments": "# exported\n## by me{0} 2024\n#\n# x",
    "a mark of MATLAB": "% exported{0} by{0} me",
    "a mark of SQL": "-- exported",
    "a quoted comment": '"# exported"{0}""{0}""',
    "a title": "Sales report",
    "a padded title": "Sales report{0}{0}",
    "a title and a blank line": "Sales report\n",
    "a title and a padded blank line": "Sales report{0}{0}\n{0}{0}",
    "a title with date": "Sales{0} 2024-01-31{0} Berlin",
    "a list": "Report{0}sales\nUnit{0}EUR\nDate{0}2024-01-31\n",
    "a padded list": "Report{0}{0}\n2024-01-31{0}{0}\n{0}{0}",
}


@pytest.mark.quick
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("rows", [NUMBERS, WORDS], ids=["numbers", "words"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "^"])
@pytest.mark.parametrize("what", PREAMBLES)
def test_what_stands_above_the_column_names_is_skipped(tmp_path, what, separator, rows, newline):
    if separator == "," and what == "a comment with a comma":
        separator = ";"
    above = PREAMBLES[what].format(separator).replace("\n", newline) + newline
    found = read(tmp_path / "t.csv", above + lines(rows, separator, newline))
    assert found == (tuple(rows[0]), rows[1:])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    "above", ["# exported by me{0} 2024", "# by me", "Sales{0}", "Sales", "Sales{0}2024-01-31"]
)
def test_two_columns_below_a_comment_or_title(tmp_path, above, separator):
    text = above.format(separator) + "\n" + lines(TWO, separator)
    assert read(tmp_path / "t.csv", text) == (("x", "g"), TWO[1:])


@pytest.mark.parametrize(
    ("names", "row"),
    [
        (["#id", "name"], ["a1", "bob"]),
        (["# x", "y"], ["1.5", "2"]),
        (["#", "name", "n"], ["1", "bob", "2"]),
        (["%", "share"], ["1", "2"]),
        (["--x", "--y"], ["1", "2"]),
        (["name", "2023", "2024"], ["bob", "1", "2"]),
        (["day", "2024-01-31"], ["bob", "2"]),
        (["", "x"], ["0", "1.5"]),
        (["x", ""], ["1.5", ""]),
        (["x", "", ""], ["1.5", "a", "b"]),
        (["name", "", ""], ["bob", "red", "blue"]),
        (["time", "temp"], ["s", "degC"]),
        (["x", "y"], ["1", "a"]),
    ],
)
@pytest.mark.parametrize("times", [1, 2, 30])
def test_column_names_that_look_like_a_comment_or_a_title_stay(tmp_path, names, row, times):
    found = read(tmp_path / "t.csv", lines([names, *[row] * times], ","))
    assert found[0] == tuple(name or f"Unnamed: {at}" for at, name in enumerate(names))
    assert found[1] == [[cell or None for cell in row]] * times


def test_a_line_of_units_stays_a_row(tmp_path):
    rows = [["s", "degC"], *([str(n), str(n / 8)] for n in range(30))]
    assert read(tmp_path / "t.csv", lines([["time", "temp"], *rows], ",")) == (("time", "temp"), rows)


def test_a_comment_above_the_names_of_an_r_table_in_quotes(tmp_path):
    path = tmp_path / "t.csv"
    text = (
        '# by R\n"x","g"\n' + "".join(f'{n / 8},"{"NA" if n % 2 else "b"}"\n' for n in range(20)) + "1,NA\n"
    )
    names, rows = read(path, text)
    assert names == ("x", "g")
    assert rows[1] == ["0.125", "NA"]  # quoted: a text
    assert rows[-1] == ["1", None]


@pytest.mark.parametrize("end", ["", ","])
def test_years_are_names_below_a_preamble_of_another_width(tmp_path, end):
    """So the World Bank writes its tables."""
    names = ["Country", "Indicator", *map(str, range(1960, 1990))]
    rows = [[f"town {n}", "GDP", *(str(n / year) for year in range(1960, 1990))] for n in range(1, 30)]
    above = '"Data Source","Indicators",\n\n"Last Updated Date","2024-06-28",\n\n'
    found = read(
        tmp_path / "t.csv", above + lines([[*row, ""] if end else row for row in [names, *rows]], ",")
    )
    assert found[0][: len(names)] == tuple(names)
    assert [row[: len(names)] for row in found[1]] == rows


def test_texts_with_a_comma_below_the_only_name_are_an_error(tmp_path):
    rows = "hello, you\n" + "".join(f"{'good' if n % 2 else 'bad'}, really\n" for n in range(40))
    with pytest.raises(DataError, match="all rows have 2 fields, the names 1; put each text"):
        read(tmp_path / "t.csv", "note\n" + rows)


def test_the_line_of_an_error_counts_the_lines_above(tmp_path):
    with pytest.raises(DataError, match=r"t\.csv, line 43: 2 fields"):
        read(tmp_path / "t.csv", "# by me\n\n" + lines([*NUMBERS, ["1", "2"]], ","))


def test_a_semicolon_in_every_row_of_a_text_column_separates_nothing(tmp_path):
    rows = [f"{n % 2 == 0},{'Bob' if n % 3 else 'Ann'},{'red;blue' if n else 'green;x'}" for n in range(60)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["flag,name,tags", *rows]) + "\n")
    table = open_table(str(path))
    assert table.names == ("flag", "name", "tags")
    assert sum(batch.num_rows for batch in table.batches(table.names)) == 60
