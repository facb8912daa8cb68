import sys

import pytest

from homeostat.bundle.pipeline import load_pipeline
from homeostat.config.errors import PipelineError


def test_the_function_of_a_model_folder_is_found(model):
    build = load_pipeline(model())
    assert type(build()).__name__ == "HistGradientBoostingClassifier"
    assert build.__module__ == "homeostat_models.sample.pipeline"
    assert "homeostat_models.sample.pipeline" in sys.modules


def test_an_unchanged_file_is_imported_once_and_a_changed_one_again(model):
    first = load_pipeline(model("def build(): return 1"))
    assert load_pipeline(model("def build(): return 1")) is first
    assert load_pipeline(model("def build(): return 2"))() == 2


def test_a_neighbouring_file_can_be_imported_and_is_reloaded_when_it_changes(model):
    config = model("from .helpers import value\ndef build(): return value")
    (config.folder / "helpers.py").write_text("value = 1")
    assert load_pipeline(config)() == 1
    (config.folder / "helpers.py").write_text("value = 2")
    assert load_pipeline(config)() == 2


def test_two_models_may_have_files_of_the_same_name(model):
    one = load_pipeline(model("def build(): return 'one'", name="one"))
    two = load_pipeline(model("def build(): return 'two'", name="two"))
    assert (one(), two()) == ("one", "two")


def test_a_function_of_an_installed_package_is_found(model):
    import json

    assert load_pipeline(model(), "json:loads") is json.loads


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nowhere_to_be_found", r"line 1: cannot be imported: ModuleNotFoundError"),
        ("x = 1\n\ndef build(:", r"line 3: cannot be imported: SyntaxError"),
        ("x = 1\ny = x / 0", r"line 2: cannot be imported: ZeroDivisionError"),
        ("raise SystemExit(1)", r"line 1: cannot be imported: SystemExit"),
        ("def make(): pass", r"has no function 'build'; its functions: make"),
        ("build = 3", r"has no function 'build'"),
    ],
    ids=["import", "syntax", "error", "exit", "other name", "no function"],
)
def test_a_failed_import_is_reported_with_file_line_and_cause(model, code, said):
    config = model(code)
    with pytest.raises(PipelineError, match=said) as error:
        load_pipeline(config)
    assert str(config.folder / "pipeline.py") in str(error.value)


@pytest.mark.parametrize("spec", ["../other/pipeline.py:build", "/etc/passwd.py:build"])
def test_a_file_outside_the_folder_is_refused(model, spec):
    with pytest.raises(PipelineError, match="outside the model's folder"):
        load_pipeline(model(), spec)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("gone.py:build", "no such file"),
        ("pipeline.py", "is not FILE:FUNCTION"),
        ("nowhere.at.all:build", "cannot be imported"),
    ],
)
def test_a_spec_that_cannot_be_found_is_an_error(model, spec, said):
    with pytest.raises(PipelineError, match=said):
        load_pipeline(model(), spec)


def test_no_byte_code_is_left_in_the_users_folder(model):
    config = model()
    load_pipeline(config)
    assert sorted(path.name for path in config.folder.iterdir()) == ["model.yaml", "pipeline.py"]
