"""Call the drift command on two files, or on two columns."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def drift(monkeypatch, capsys):
    from homeostat.cli import app as program

    def call(reference: Path, current: Path, *more: object, error: bool = False) -> Any:
        arguments = ["drift", "--reference", reference, "--current", current, *more, "--json"]
        monkeypatch.setattr(sys, "argv", ["homeostat", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            program.main()
        out, err = capsys.readouterr()
        if error:
            assert ended.value.code == 1
            return err
        assert not ended.value.code, err
        return json.loads(out)

    return call


@pytest.fixture
def compare(drift, tmp_path):
    """Compare two columns of text or numbers, kept as CSV."""

    def call(before: Any, now: Any, *more: object, **options: Any) -> Any:
        for name, values in (("a", before), ("b", now)):
            rows = pd.DataFrame({"x": values, "z": np.random.default_rng(len(name)).normal(size=len(values))})
            rows.to_csv(tmp_path / f"{name}.csv", index=False)
        return drift(tmp_path / "a.csv", tmp_path / "b.csv", *more, **options)

    return call
