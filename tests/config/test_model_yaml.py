"""model.yaml: what is right is read, and what is wrong is named by file, line, key and cure."""

from __future__ import annotations

import copy
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from homeostat.config import ModelConfig, load_model, load_models
from homeostat.config.errors import ConfigError, HomeostatError, NotFound

GOOD = """\
name: sample
task: classification
pipeline: pipeline.py:build
source: {kind: csv, uri: rows.csv}
schema:
  label: {name: y, delay: 24h}
  features:
    x: {type: number, range: [0, 1]}
    c: {type: category, categories: [1, 2]}
monitor: {every: 1h, window: 24h}
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "sample") -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "model.yaml").write_text(text, encoding="utf-8")
        return folder

    return write


def said(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_model(folder)
    message = str(caught.value)
    assert str(folder / "model.yaml") in message
    return message


HISTORY = "{kind: predictions, history: {kind: csv, uri: rows.csv}}"


def test_a_history_goes_with_the_prediction_log(write):
    config = load_model(write(GOOD.replace("{kind: csv, uri: rows.csv}", HISTORY)))
    assert config.source.kind == "predictions"
    assert (config.source.history.kind, config.source.history.uri) == ("csv", "rows.csv")
    assert config.source.description == "csv rows.csv and the gateway's log"
    alone = config.history_only()
    assert alone.source == config.source.history
    assert (alone.source.key, alone.folder) == ("source.history", config.folder)
    assert alone.history_only() is alone


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "{kind: csv, uri: a.csv, history: {kind: csv, uri: b.csv}}",
            ("line 4, source: only kind: predictions",),
        ),
        (
            "{kind: predictions, history: {kind: predictions}}",
            ("line 4, source: 'history' is a file, a query",),
        ),
        ("{kind: predictions, history: {kind: csv}}", ("line 4, source.history: kind: csv needs 'uri'",)),
        ("{kind: predictions, history: {kind: csv, url: x}}", ("source.history.url: unknown key", "'uri'")),
        ("{kind: predictions, histroy: {kind: csv, uri: x}}", ("source.histroy: unknown key", "'history'")),
    ],
)
def test_a_history_that_cannot_be_is_named(write, source, words):
    message = said(write(GOOD.replace("{kind: csv, uri: rows.csv}", source)))
    assert all(word in message for word in words), message


def test_a_good_one_is_read_with_its_defaults(write):
    config = load_model(write(GOOD))
    assert config.feature_names == ("x", "c")
    assert config.columns.label.delay == timedelta(days=1)
    assert config.columns.features["c"].categories == ("1", "2")
    assert config.metric == "accuracy"
    assert config.trigger.consecutive == 3
    assert config.folder.is_absolute()


def test_file_and_folder_are_both_fine(write):
    folder = write(GOOD)
    assert load_model(folder) == load_model(folder / "model.yaml")


@pytest.mark.parametrize(
    ("change", "line", "key", "cure"),
    [
        (("monitor: {every: 1h", "monitor: {evry: 1h"), 10, "monitor.evry", "did you mean 'every'?"),
        (("monitor:", "monitr:"), 10, "monitr", "did you mean 'monitor'?"),
        (("task: classification", "task: clasification"), 2, "task", "classification"),
        (("    x: {type: number", "    x: {typ: number"), 8, "schema.features.x.typ", "did you mean 'type'?"),
        (("  label: {name: y, delay: 24h}\n", ""), 5, "schema.label", "label: {name: y, delay: 24h}"),
        (("pipeline: pipeline.py:build\n", ""), 1, "pipeline", "pipeline: pipeline.py:build"),
        (("pipeline.py:build", "pipeline.py"), 3, "pipeline", "pipeline.py:build"),
        (("{kind: csv, uri: rows.csv}", "{kind: csv}"), 4, "source", "{kind: csv, uri: data/rows.csv}"),
        (("{kind: csv, uri: rows.csv}", "{kind: sql, query: q}"), 4, "source", "postgresql"),
        (("every: 1h", "every: 60"), 10, "monitor.every", "90s, 15m, 24h"),
        (("every: 1h", "every: 0h"), 10, "monitor.every", "greater than"),
        (("every: 1h", "every: 99999999999d"), 10, "monitor.every", "180d"),
        (("every: 1h, window: 24h", "every: 5h, window: 24h"), 10, "monitor", "whole number"),
        (("every: 1h, window: 24h", "every: 2h, window: 1h"), 10, "monitor", "at least as long"),
        (("range: [0, 1]", "range: [1, 0]"), 8, "schema.features.x", "[lowest, highest]"),
        (("range: [0, 1]", "categories: [a]"), 8, "schema.features.x", "type: category"),
        (("categories: [1, 2]", "range: [1, 2]"), 9, "schema.features.c", "type: number"),
        (("name: y", "name: x"), 5, "schema", "remove it from schema.features"),
        (("monitor: {every: 1h, window: 24h}", "monitor: {alpha: 2}"), 10, "monitor.alpha", "less than 1"),
        (("monitor: {every: 1h, window: 24h}", "gate: {metric: mae}"), 1, "model.yaml", "choose accuracy"),
        (("monitor: {every: 1h, window: 24h}", "gate: {slices: [z]}"), 10, "gate.slices", "'z'"),
        *(
            (("monitor: {every: 1h, window: 24h}", f"monitor: {{slices: [{slices}]}}"), 10, key, said)
            for slices, key, said in [
                ("z", "monitor.slices", "'z' is not a feature: add it"),
                ("cc", "monitor.slices", "did you mean 'c'?"),
                ("c, {c: [1]}", "monitor.slices", "'c' is listed twice: keep one of them"),
                (
                    "{c: [1, 3]}",
                    "monitor.slices",
                    "'3' is not in schema.features.c.categories: choose of 1, 2",
                ),
                ("{x: [1]}", "monitor.slices", "'x' is a number, its slices are the quarters"),
                ("{c: 1}", "monitor.slices.0.values", "list the values of the feature"),
                ("{c: [1, 1.0]}", "monitor.slices.0.values", "'1' is listed twice"),
                ("7", "monitor.slices.0", "write the name of a feature"),
            ]
        ),
        (
            ("monitor: {every: 1h, window: 24h}", "monitor: {slices: [x, c], max_slices: 4}"),
            10,
            "monitor.slices",
            "needs 5 slices or more, monitor.max_slices allows 4: raise it (50 at most)",
        ),
        (("monitor: {every: 1h, window: 24h}", "monitor: {max_slices: 51}"), 10, "monitor.max_slices", "50"),
        (
            ("monitor: {every: 1h, window: 24h}", "canary: {steps: [0.5, 0.1]}"),
            10,
            "canary.steps",
            "must rise",
        ),
        (("monitor: {every: 1h, window: 24h}", "canary: {steps: []}"), 10, "canary.steps", "at least 1"),
        (
            ("monitor: {every: 1h, window: 24h}", "training: {window: {kind: sliding}}"),
            10,
            "training.window",
            "length: 180d",
        ),
        (
            ("monitor: {every: 1h, window: 24h}", "training: {window: {kind: recency}}"),
            10,
            "training.window",
            "half_life: 90d",
        ),
        (
            (
                "monitor: {every: 1h, window: 24h}",
                "training:\n  bad_periods:\n    - {start: 2026-01-02, end: 2026-01-01}",
            ),
            12,
            "training.bad_periods.0",
            "must be after start",
        ),
        (
            ("monitor: {every: 1h, window: 24h}", "trigger: {decay: 0.2, critical_decay: 0.1}"),
            10,
            "trigger",
            "at least as large as decay",
        ),
    ],
    ids=lambda value: value[1][:40].strip() if isinstance(value, tuple) else None,
)
def test_a_mistake_is_reported_with_line_key_and_fix(write, change, line, key, cure):
    assert change[0] in GOOD
    message = said(write(GOOD.replace(change[0], change[1], 1)))
    assert f"line {line}, {key}: " in message
    assert cure in message
    assert "pydantic" not in message


def test_all_mistakes_are_reported_at_once(write):
    message = said(write(GOOD.replace("every: 1h", "evry: 1h").replace("task: classification", "task: x")))
    assert len(message.splitlines()) == 2


@pytest.mark.parametrize("name", ["a/b", "..", "../up", "a.b", "A", "", "-a", "a b", "x" * 64, "é"])
def test_a_name_that_could_leave_its_folder_or_url_is_refused(write, name):
    message = said(write(GOOD.replace("name: sample", f"name: {name!r}", 1)))
    assert "lower-case letters, digits" in message
    assert "line 1, name: " in message


def test_a_name_must_be_that_of_its_folder(write):
    write(GOOD)
    other = write(GOOD, "other")
    message = said(other)
    assert "name is 'sample' but the folder is 'other'" in message
    with pytest.raises(ConfigError, match="no two models have the same name"):
        load_models(other.parent)


def test_models_are_loaded_by_name_and_other_folders_are_ignored(write, tmp_path):
    write(GOOD)
    write(GOOD.replace("name: sample", "name: a2"), "a2")
    (tmp_path / "notes").mkdir()
    assert list(load_models(tmp_path)) == ["a2", "sample"]
    assert load_models(tmp_path / "nothing") == {}


def test_an_alias_bomb_is_refused_before_it_goes_off(write):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    message = said(write("\n".join(lines)))
    assert "line 2: YAML aliases" in message
    assert "write the value out" in message


def test_a_merge_key_is_an_alias_too(write):
    assert "aliases" in said(
        write(GOOD.replace("name: sample", "base: &b {k: 1}\nname: sample\nother:\n  <<: *b", 1))
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "monitor: {}\n", "line 11: duplicate key 'monitor'"),
        (GOOD.replace("c: {type", "x: {type"), "line 9: duplicate key 'x'"),
        (GOOD.replace("name: sample", "name: [sample"), "not valid YAML"),
        (GOOD.replace("name: sample", "name: !!python/object/apply:os.system ['true']"), "not valid YAML"),
        ("", "expected keys such as 'name: my_model', found NoneType"),
        ("- 1\n- 2\n", "found list"),
        ("[" * 5000, "nested too deeply"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("x: " + "y" * 300_000, "larger than 256 KB"),
    ],
)
def test_a_file_that_is_not_a_model_yaml_is_reported(write, text, says):
    assert says in said(write(text))


def test_text_that_is_not_utf8_is_an_error(tmp_path):
    folder = tmp_path / "sample"
    folder.mkdir()
    (folder / "model.yaml").write_bytes(b"name: \xff\xfe")
    assert "not UTF-8" in said(folder)


def test_a_missing_file_is_an_error_that_says_how_to_write_one(tmp_path):
    with pytest.raises(NotFound, match="homeostat new MODEL"):
        load_model(tmp_path / "absent" / "model.yaml")


def test_a_model_cannot_be_changed_once_read(write):
    config = load_model(write(GOOD))
    with pytest.raises(ValidationError):
        config.name = "other"


TREE = yaml.safe_load(GOOD)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PATHS = [
    ("name",), ("task",), ("pipeline",), ("source",), ("source", "kind"), ("schema",), ("schema", "label"),
    ("schema", "label", "delay"), ("schema", "features"), ("schema", "features", "x"),
    ("schema", "features", "x", "range"), ("schema", "features", "c", "categories"), ("monitor",),
    ("monitor", "every"), ("monitor", "window"),
]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(path=st.sampled_from(PATHS), junk=JUNK)
def test_any_value_is_read_or_refused_with_a_message(tmp_path_factory, path, junk):
    tree = copy.deepcopy(TREE)
    inner = tree
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = junk
    folder = tmp_path_factory.mktemp("any") / "sample"
    folder.mkdir()
    (folder / "model.yaml").write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    try:
        assert isinstance(load_model(folder), ModelConfig)
    except HomeostatError as error:
        assert "model.yaml" in str(error)  # noqa: PT017  # either is right


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_is_read_or_refused_with_a_message(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("text") / "sample"
    folder.mkdir()
    (folder / "model.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"model\.yaml"):
        load_model(folder)


@pytest.mark.parametrize(
    ("block", "length"),
    [
        ("training: {window: {kind: auto, length: 180d}}", timedelta(days=180)),
        ("training: {window: {kind: auto}}", None),
        ("training: {min_rows: 500}", None),
    ],
)
def test_an_automatic_window_needs_no_length(write, block, length):
    config = load_model(write(GOOD + block))
    assert (config.training.window.kind, config.training.window.length) == ("auto", length)
    assert config.training.recipes == ("all", "middle", "short")
    assert config.training.committee
