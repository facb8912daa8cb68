"""Classes, spellings and categories of model.yaml: what YAML would misread is an error with its fix."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.test_model_yaml import GOOD
from homeostat.config import load_model
from homeostat.config.errors import ConfigError
from homeostat.config.label_text import class_name, label_text
from homeostat.config.load import load_overrides
from homeostat.config.model import Label

CATEGORIES = "categories: [1, 2]"
LABEL = "{name: y, delay: 24h}"


@pytest.fixture
def load(tmp_path: Path):
    def load(old: str, new: str):
        folder = tmp_path / "sample"
        folder.mkdir(exist_ok=True)
        assert old in GOOD
        (folder / "model.yaml").write_text(GOOD.replace(old, new, 1), encoding="utf-8")
        return load_model(folder)

    return load


def said(load, old: str, new: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(old, new)
    return str(caught.value)


BOOLEANS = "; write true and false for booleans"


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (
            "[Yes, No]",
            "YAML reads unquoted Yes as the boolean true, No as the boolean false: "
            "quote what is text, as in ['Yes', 'No']" + BOOLEANS,
        ),
        (
            "[on, 'off', 3]",
            "YAML reads unquoted on as the boolean true: quote what is text, as in ['on', 'off', 3]"
            + BOOLEANS,
        ),
        (
            "[NO, SE]",
            "YAML reads unquoted NO as the boolean false: quote what is text, as in ['NO', SE]" + BOOLEANS,
        ),
        (
            "[3.9, 3.10]",
            "YAML reads unquoted 3.10 as the number 3.1: quote what is text, as in [3.9, '3.10']",
        ),
        ("[~, a]", "YAML reads unquoted ~ as null: quote what is text, as in ['~', a]"),
        ("[007, 7]", "YAML reads unquoted 007 as the number 7: quote what is text, as in ['007', 7]"),
        ("[1:30]", "YAML reads unquoted 1:30 as the number 90: quote what is text, as in ['1:30']"),
        ("[1_000]", "YAML reads unquoted 1_000 as the number 1000: quote what is text, as in ['1_000']"),
        (
            "[2026-01-05 10:00:00]",
            (
                "YAML reads unquoted 2026-01-05 10:00:00 as a time: quote what is text, "
                "as in ['2026-01-05 10:00:00']"
            ),
        ),
    ],
)
def test_what_yaml_would_misread_is_an_error_with_line_and_fix(load, written, sentence):
    message = said(load, CATEGORIES, f"categories: {written}")
    assert message.endswith(f"model.yaml, line 9, schema.features.c.categories: {sentence}")


@pytest.mark.parametrize(
    ("written", "categories"),
    [
        ("['Yes', \"No\"]", ("Yes", "No")),
        ("[y, n, maybe]", ("y", "n", "maybe")),  # text for PyYAML, and for every reader of YAML 1.2
        ("[1, 2.0, 2.5, -3]", ("1", "2", "2.5", "-3")),
        ("[2026-01-05, 09]", ("2026-01-05", "09")),
        ("[!!str yes]", ("yes",)),
        ("[true, False]", ("1", "0")),
        ("['True', TRUE, 'false']", ("1", "1", "0")),
        ("[1, '2.0', '007', '1.10', NA, None]", ("1", "2", "007", "1.10", "NA", "None")),
    ],
)
def test_what_is_meant_as_written_is_read_as_the_data_is(load, written, categories):
    assert load(CATEGORIES, f"categories: {written}").columns.features["c"].categories == categories


@pytest.mark.parametrize(
    ("written", "key", "words"),
    [
        ("classes: [Yes, No]", "schema.label.classes", "as in ['Yes', 'No']"),
        ("mapping: {Yes: 1, No: 0}", "schema.label.mapping", "as in {'Yes': 1, 'No': 0}"),
        ("mapping: {1: Yes, 0: no}", "schema.label.mapping", "as in {1: 'Yes', 0: 'no'}"),
        ("classes: [true, '1']", "schema.label.classes", "'1' is listed twice"),
        ("positive: 007", "schema.label.positive", "as the number 7: quote what is text, as in '007'"),
        ("mapping: {on: a, Yes: b}", "schema.label.mapping", "as in {'on': a, 'Yes': b}"),
        ("classes: [1]", "schema.label.classes", "at least two"),
        ("classes: yes", "schema.label.classes", "tuple"),
        ("classes: [1, '1']", "schema.label.classes", "'1' is listed twice"),
        ("classes: [[a], b]", "schema.label.classes", "neither text nor a number"),
        ("mapping: [a]", "schema.label.mapping", "dictionary"),
        ("mapping: {1: a, '1': b}", "schema.label.mapping", "'1' is mapped twice"),
        ("mapping: {1: 2, 2: 1}", "schema.label", "'2' into '1': map every spelling to the class itself"),
        ("mapping: {a: b}, classes: [c, d]", "schema.label", "'b', which is not in classes"),
        ("mapping: {a: b}, classes: [a, b]", "schema.label", "'a' is in classes, but mapping turns it"),
    ],
)
def test_a_mistake_in_classes_or_mapping_is_named_with_its_line(load, written, key, words):
    message = said(load, LABEL, f"{{name: y, {written}}}")
    assert f"model.yaml, line 6, {key}: " in message
    assert words in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("key", ["classes: [1, 2]", "mapping: {a: 1}"])
def test_classes_and_mapping_are_for_classification(tmp_path, key):
    folder = tmp_path / "sample"
    folder.mkdir()
    regression = GOOD.replace("task: classification", "task: regression").replace(
        LABEL, f"{{name: y, {key}}}"
    )
    (folder / "model.yaml").write_text(regression)
    with pytest.raises(ConfigError, match=rf"schema\.label\.{key.partition(':')[0]} is for classification"):
        load_model(folder)


def test_overrides_are_checked_alike(tmp_path):
    path = tmp_path / "overrides.yaml"
    path.write_text("sample:\n  schema:\n    label: {classes: [Yes, No]}\n")
    with pytest.raises(ConfigError, match=r"line 3, sample\.schema\.label\.classes: YAML reads unquoted Yes"):
        load_overrides(path)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("on", "the boolean true"),
        ("No", "the boolean false"),
        ("2024", "the number 2024"),
        ("007", "the number 7"),
        ("~", "null"),
        ("2024-01-31", "a date"),
    ],
)
def test_a_feature_whose_name_is_no_text_for_yaml_is_an_error_at_its_line(load, name, read):
    message = said(load, "    c: {", f"    {name}: {{type: number}}\n    c: {{")
    assert message.endswith(
        f"model.yaml, line 9, schema.features.{name}: YAML reads the unquoted name {name} as {read}: "
        f"quote it, as in '{name}': ..."
    )
    quoted = load("    c: {", f"    '{name}': {{type: number}}\n    c: {{")
    assert name in quoted.columns.features


@pytest.mark.parametrize(("written", "read"), [("2024", "number"), ("2024-01-31", "date")])
def test_a_value_that_is_no_text_for_yaml_is_an_error_with_its_fix(load, written, read):
    found = said(load, "{name: y", f"{{name: {written}")
    assert f"line 6, schema.label.name: expected text, and YAML reads this as a {read}: quote it" in found


def test_booleans_may_be_classes(load):
    config = load(LABEL, "{name: y, classes: [true, false], mapping: {yes_: true, True: True}}")
    assert config.columns.label.classes == ("1", "0")
    assert [config.columns.label.to_class(each) for each in (True, "false", 1.0, "yes_")] == list("1011")


def test_a_name_that_yaml_reads_as_a_boolean_is_an_error_with_its_fix(load):
    assert "YAML reads an unquoted no, off or false as false: quote the text" in said(
        load, "{name: y", "{name: off"
    )


texts = st.text(min_size=1, max_size=3)
names = texts | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(names, min_size=2, max_size=4), st.dictionaries(texts, names, max_size=4), names)
def test_a_label_is_turned_into_its_class_once(classes, mapping, value):
    """Turning a label into its class twice changes nothing, whatever classes and mapping are accepted."""
    try:
        label = Label(name="y", classes=classes, mapping=mapping)
    except ValidationError:
        return
    once = label.to_class(value)
    assert label.to_class(once) == once
    assert {label.to_class(spelling) for spelling in label.mapping} <= set(label.classes or ())
    assert [label.to_class(each) for each in label.classes or ()] == list(label.classes or ())


@given(names)
def test_a_class_of_model_yaml_is_spelled_like_the_values_of_the_data(value):
    assert class_name(value) == label_text(value)


@pytest.mark.parametrize("value", [None, "", float("nan"), float("inf"), [1], {}, 10**400])
def test_what_can_be_no_name_is_refused(value):
    with pytest.raises(ValueError, match="neither text nor a number"):
        class_name(value)


@pytest.mark.parametrize(
    ("written", "positive"),
    [
        ("positive: fraud", "fraud"),
        ("positive: 1", "1"),
        ("positive: '1'", "1"),
        ("classes: [0, 1], positive: 0", "0"),
        ("classes: ['Yes', 'No'], mapping: {1: 'Yes', 0: 'No'}, positive: 'Yes'", "Yes"),
    ],
)
def test_the_positive_class_is_written_as_the_classes_are(load, written, positive):
    found = load(LABEL, f"{{name: y, {written}}}").columns.label
    assert found.positive == positive


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (
            "classes: [fraud, legit], positive: fruad",
            "positive: 'fruad' is not in classes: choose one of 'fraud', 'legit'",
        ),
        (
            "classes: ['Yes', 'No'], mapping: {1: 'Yes', 0: 'No'}, positive: 1",
            "mapping turns positive: '1' into the class 'Yes': write positive: 'Yes'",
        ),
        ("positive: yes", "YAML reads unquoted yes as the boolean true: quote what is text, as in 'yes'"),
        ("positive: ''", "is neither text nor a number"),
        ("positive: [a]", "is neither text nor a number"),
    ],
)
def test_a_wrong_positive_class_is_an_error(load, written, sentence):
    assert sentence in said(load, LABEL, f"{{name: y, {written}}}")
