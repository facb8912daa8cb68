"""The head of a CSV file decides on encoding, separator and column names, however large the file is."""

import gzip

import pytest

from homeostat.adapters import csv_head
from homeostat.adapters.tables import open_table
from homeostat.config.errors import DataError

ROWS = "".join(f"{n / 8},{'ab'[n % 2]}\n" for n in range(9000))


def read(path, content, encoding="utf-8"):
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    table = open_table(str(path))
    rows = [row for batch in table.batches(table.names) for row in batch.to_pylist()]
    return table.names, [tuple(row.values()) for row in rows]


@pytest.mark.parametrize("rows", [10, 9000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_names_keep_their_letters_in_every_encoding(tmp_path, encoding, rows):
    text = "t,größe\n" + "".join(ROWS.splitlines(keepends=True)[:rows])
    names, found = read(tmp_path / "t.csv", text, encoding)
    assert names == ("t", "größe")
    assert len(found) == rows
    assert found[:2] == [("0.0", "a"), ("0.125", "b")]


@pytest.mark.parametrize("rows", [10, 9000])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_another_encoding_is_an_error_that_names_byte_line_and_cure(tmp_path, encoding, rows):
    text = "t,größe\n" + "".join(ROWS.splitlines(keepends=True)[:rows])
    message = r"byte 4, in line 1: 0xf6, which is 'ö' .*UTF-16 were tried\. Save it as UTF-8, .*iconv"
    with pytest.raises(DataError, match=message):
        read(tmp_path / "t.csv", text, encoding)


def test_a_letter_that_the_head_cuts_in_two_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_head, "HEAD", 10)
    assert read(tmp_path / "t.csv", "a,b\nxxx,öö\nyy,z\n")[1] == [("xxx", "öö"), ("yy", "z")]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('"temp, C, mean";"g, x"\n0.5;a\n1.5;b\n', ("temp, C, mean", "g, x")),
        ('"temp; C";"g|x"\n0.5;a\n1.5;b\n', ("temp; C", "g|x")),
        ("temp, C;g\n0,5;a\n1,5;b\n", ("temp, C", "g")),
        ("t;g\n0,5;a\n1,5;b\n", ("t", "g")),
        ('t,g\n"0;5","a;b"\n"1;5",b\n', ("t", "g")),
        ("t\tg\n0,5\ta;a\n1,5\tb\n", ("t", "g")),
        ("sep=;\nt;g\n0,5;a\n1,5;b\n", ("t", "g")),
        ("\n\n  \nt,g\n0.5,a\n1.5,b\n", ("t", "g")),
        (",,\n,,\nt,g,h\n1,2,3\n4,5,6\n", ("t", "g", "h")),
        ('"t\nin C",g\n0.5,a\n1.5,b\n', ("t\nin C", "g")),
        ("t,g\r0.5,a\r1.5,b\r", ("t", "g")),
        ("a|b\n1\n2\n", ("a|b",)),
        ("t\n1,5\n2,5\n", ("t",)),
    ],
)
def test_the_separator_is_the_one_that_fits_names_and_rows(tmp_path, text, names):
    found = read(tmp_path / "t.csv", text)
    assert found[0] == names
    assert len(found[1]) == 2


def test_names_longer_than_the_head_are_read_to_their_end(tmp_path):
    names = [f"column {n} with a long name" for n in range(6000)]
    content = ",".join(names) + "\n" + ",".join(map(str, range(6000))) + "\n"
    assert len(content) > 2 * csv_head.HEAD
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(content.encode()))
    table = open_table(str(tmp_path / "t.csv.gz"))
    assert list(table.names) == names
    assert next(table.batches([names[-1]])).column(0).to_pylist() == ["5999"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,b\n1,2\n\n\n3\n", 5),
        ('a,b\n"x\ny",2\n3\n', 4),
        ("\n\na,b\n1,2\n3\n", 5),
        ('"a\nq",b\n1,2\n3\n', 4),
    ],
)
def test_the_error_on_a_row_names_its_line_in_the_file(tmp_path, text, line):
    with pytest.raises(DataError, match=rf"t\.csv, line {line}: 1 fields where .* has 2"):
        read(tmp_path / "t.csv", text)


def test_a_name_without_an_end_is_an_error(tmp_path):
    with pytest.raises(DataError, match="is a double quote left open"):
        read(tmp_path / "t.csv", '"a\n' + "1\n" * 200)


@pytest.mark.parametrize("columns", [["a"], ["b"], []])
@pytest.mark.parametrize("quoted", ['"2\n1,2\n5,6', '"2\n1,"",""2\n'])
def test_rows_after_an_open_quote_are_not_lost(tmp_path, columns, quoted):
    path = tmp_path / "t.csv"
    path.write_text(f'a,b\n7,"x\ny"\n1,{quoted}')
    with pytest.raises(DataError, match=r"t\.csv, line 4: a double quote is open until the end"):
        list(open_table(str(path)).batches(columns))


def test_a_cell_of_several_lines_may_be_the_last(tmp_path):
    _, rows = read(tmp_path / "t.csv", 'a,b\n1,"x\ny"\n2,"p\n""q"""\n')
    assert rows == [("1", "x\ny"), ("2", 'p\n"q"')]
