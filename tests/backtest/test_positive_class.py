"""A backtest's score is of the positive class, and says of which."""

from __future__ import annotations

import json

import pytest

from backtest.small_history import MODEL, PIPELINE, rows_of, run
from homeostat import backtesting
from homeostat.cli.commands import backtest_page, backtest_table
from homeostat.config import load_model
from homeostat.config.errors import ConfigError
from homeostat.core.performance import score


@pytest.fixture
def model(tmp_path):
    def make(label=""):
        folder = tmp_path / "small"
        folder.mkdir()
        text = MODEL.format(task="classification").replace("delay: 1h}", f"delay: 1h{label}}}")
        (folder / "model.yaml").write_text(text.replace("gate: {", "gate: {metric: f1, "))
        (folder / "pipeline.py").write_text(PIPELINE.format(name="LogisticRegression"))
        return load_model(folder)

    return make


def spelled(rows):
    return rows.assign(y=rows["y"].map({1: "fraud", 0: "legit"}))


def test_the_table_page_and_json_name_the_class(model, capsys):
    found = run(model(", positive: fraud"), spelled(rows_of(3)))
    raw = backtesting.to_json(found)
    json.dumps(raw, allow_nan=False)
    assert (raw["score_name"], raw["score_title"]) == ("f1", "f1 of 'fraud'")
    assert any("f1 of 'fraud' would have been" in line for line in raw["summary"])
    backtest_table.show(found)
    assert "f1 of 'fraud'" in capsys.readouterr().out
    assert "f1 of &#39;fraud&#39;" in backtest_page.render_page(found)
    assert not any("positive class" in note for note in found.notes)


def test_the_score_is_of_that_class(model):
    rows = spelled(rows_of(3, flip=1))
    scores = {name: run(config, rows).outcomes["frozen"] for name, config in both(model)}
    assert scores["fraud"].score != scores["legit"].score


def both(model):
    config = model(", positive: fraud")
    return (("fraud", config), ("legit", config.with_positive("legit")))


def test_an_obvious_class_is_noted(model):
    found = run(model(), rows_of(3))
    assert found.score_title == "f1 of '1'"
    assert any("'1' was taken as the positive class" in note for note in found.notes)


def test_without_the_setting_it_is_an_error_before_the_replay(model):
    with pytest.raises(ConfigError, match="write positive: fraud or positive: legit"):
        run(model(), spelled(rows_of(3)))


def test_windows_are_scored_like_the_whole(model):
    """A window that lacks a class is not scored by the other one."""
    rows = spelled(rows_of(3))
    config = model(", positive: fraud")
    result = run(config, rows).outcomes["frozen"].run.results
    assert all(each.score is not None for each in result)
    assert score("classification", "f1", ["fraud"] * 3, ["fraud"] * 3, positive="fraud") == 1
