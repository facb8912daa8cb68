"""The rows of the demo: what the model begins with, and traffic whose concept changes."""

from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from homeostat.config import load_model
from homeostat.config.errors import DataError
from homeostat.demo.rows import ConceptChange, DemoRows
from homeostat.demo.scenario import Scenario
from sample_model import MODEL, PIPELINE, T0

HOUR = timedelta(hours=1)


def model(folder, **changes):
    raw, folder = yaml.safe_load(MODEL) | changes, folder / "sample"
    folder.mkdir()
    (folder / "model.yaml").write_text(yaml.safe_dump(raw))
    (folder / "pipeline.py").write_text(PIPELINE)
    return load_model(folder)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "at": pd.date_range(T0, periods=100, freq="1h"),
            "unit": [f"u{number}" for number in range(100)],
            "a": rng.permutation(100).astype(float),
            "b": rng.normal(size=100),
            "kind": rng.choice(["red", "blue"], 100),
            "y": rng.integers(0, 2, 100),
        }
    )


def test_classes_are_swapped_above_the_median_from_then_on(tmp_path, rows):
    config, at = model(tmp_path), T0 + 40 * HOUR
    change = ConceptChange.of(config, rows, at)
    assert (change.feature, change.above) == ("a", 49.5)
    assert sorted(change.swapped) == [0, 1]
    changed = change.apply(config, rows)
    meant = (rows["at"] >= at) & (rows["a"] > 49.5)
    assert 0 < meant.sum() < 60
    assert changed["y"].tolist() == np.where(meant, 1 - rows["y"], rows["y"]).tolist()
    pd.testing.assert_frame_equal(changed.drop(columns="y"), rows.drop(columns="y"))
    assert change.sentence == "where a is above 49.5, the classes are swapped"


def test_numbers_are_shifted_by_two_standard_deviations(tmp_path, rows):
    config = model(tmp_path, task="regression")
    rows["y"] = rows["b"] * 10
    change = ConceptChange.of(config, rows, T0, "b")
    changed = change.apply(config, rows)
    shift = 2 * np.std(rows["y"])
    expected = np.where(rows["b"] > rows["b"].median(), rows["y"] + shift, rows["y"])
    assert changed["y"].to_numpy() == pytest.approx(expected)
    assert "higher" in change.sentence


def test_a_single_class_cannot_be_swapped(tmp_path, rows):
    with pytest.raises(DataError, match="sample: all labels are"):
        ConceptChange.of(model(tmp_path), rows.assign(y=1), T0)


def test_a_model_without_numbers_has_nothing_to_change(tmp_path, rows):
    columns = yaml.safe_load(MODEL)["schema"]
    columns["features"] = {"kind": {"type": "category"}}
    with pytest.raises(DataError, match="no number among its features"):
        ConceptChange.of(model(tmp_path, schema=columns), rows, T0)


def test_the_model_begins_with_the_first_share_and_the_rest_is_traffic(tmp_path, rows):
    config = model(tmp_path)
    rows.to_csv(config.folder / "rows.csv", index=False)
    demo = DemoRows.read(config, Scenario(first_share=0.5))
    assert demo.first_until == T0 + 48 * HOUR, "midnight before row 50"
    source = demo.write_history(tmp_path)
    assert source["kind"] == "predictions"
    assert len(pd.read_parquet(source["history"]["uri"])) == 48
    part = (T0 + 60 * HOUR, T0 + 70 * HOUR)
    before = demo.between(*part)
    assert len(before) == 10
    demo.change_concept(T0 + 65 * HOUR, "")
    after = demo.between(*part)
    assert (after["y"] != before["y"]).tolist() == (
        (before["at"] >= T0 + 65 * HOUR) & (before["a"] > 49.5)
    ).tolist()


def test_of_a_history_without_end_as_much_is_read_as_the_demo_needs(tmp_path, rows, monkeypatch):
    config, asked = model(tmp_path), []
    source = SimpleNamespace(read=lambda _config, *between: asked.append(between) or rows)
    monkeypatch.setattr("homeostat.demo.rows.ConfiguredSource", lambda _store: source)
    scenario = Scenario(first_until=T0, quiet=2, patience=3, after=1)
    assert DemoRows.read(config, scenario).first_until == T0
    assert asked == [(T0 - timedelta(days=10), T0 + 50 * HOUR)]
