"""Every entry says which columns of model.yaml a file lacks, what it has, and which is probably meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homeostat.config.errors import DataError
from reader_entries import PLAIN, backtest, train, write


def named(path: Path, header: str) -> str:
    return write(path, PLAIN.replace("at,x,g,y", header, 1))


def refused(entry: Callable[[str], Any], uri: str) -> str:
    with pytest.raises(DataError) as error:
        entry(uri)
    return str(error.value)


@pytest.mark.parametrize("entry", [train, backtest])
@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("At,X,G,Y", ["the label 'y' (is it 'Y' here?), 'x' (is it 'X' here?)", "columns are: At, X, G, Y"]),
        (" at , x , g , y ", ["'y' (is it ' y ' here?)", "columns are: ' at ', ' x ', ' g ', ' y '"]),
        ("at,X,g,y", ["'x' (is it 'X' ", "'required: false'"]),
        ("at,x,g,Y", ["'y' (is it 'Y' "]),
        ("at,x,g,label", ["'y'"]),
    ],
)
def test_the_probable_names_are_given(tmp_path, entry, header, said):
    message = refused(entry, named(tmp_path / "t.csv", header))
    assert all(part in message for part in said), message


def test_training_names_the_timestamp_too(tmp_path):
    message = refused(train, named(tmp_path / "t.csv", "At,X,G,Y"))
    assert "source.uri" in message
    assert "no column 'at' (is it 'At' here?), the label" in message
    message = refused(train, named(tmp_path / "t.csv", "when,x,g,y"))
    assert "no column 'at', which" in message
    assert "columns are: when, x, g, y" in message
