"""Models in subfolders, and folders that cannot be read."""

import pytest

from homeostat.config import ModelConfig, Settings, load_models
from homeostat.config.errors import ConfigError
from homeostat.config.model_folders import MAX_DEPTH, find_models

MODEL = """
name: {name}
task: classification
pipeline: pipeline.py:build
source: {{kind: csv, uri: rows.csv}}
schema: {{label: {{name: y}}, features: {{x: {{type: number}}}}}}
"""


def write(folder, text=""):
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(text or MODEL.format(name=folder.name))
    return folder


def settings_of(folder, **env):
    return Settings.from_env({"HOMEOSTAT_MODELS": str(folder), **env})


def test_models_are_found_in_subfolders_by_their_own_name(tmp_path):
    write(tmp_path / "fraud")
    write(tmp_path / "risk" / "cards" / "limits")
    write(tmp_path / "risk" / "churn")
    assert list(find_models(tmp_path)) == ["churn", "fraud", "limits"]
    settings = settings_of(tmp_path)
    assert settings.model_names() == ["churn", "fraud", "limits"]
    assert settings.load_model("limits").folder == tmp_path / "risk" / "cards" / "limits"
    assert settings.require_model(str(tmp_path / "risk" / "churn")) == "churn"
    assert settings.model_folder("churn") == tmp_path / "risk" / "churn"
    assert set(load_models(tmp_path)) == {"churn", "fraud", "limits"}


def test_what_lies_in_a_model_belongs_to_it(tmp_path):
    write(tmp_path / "fraud")
    write(tmp_path / "fraud" / "old" / "backup")
    for hidden in (".git", ".ipynb_checkpoints", "__pycache__"):
        write(tmp_path / hidden / "shadowed")
    assert list(find_models(tmp_path)) == ["fraud"]


def test_the_folder_of_models_is_no_model_itself(tmp_path):
    (tmp_path / "model.yaml").write_text(MODEL.format(name="top"))
    write(tmp_path / "fraud")
    assert list(find_models(tmp_path)) == ["fraud"]


def test_the_search_ends_at_a_depth_and_follows_links_without_end(tmp_path):
    deep = tmp_path.joinpath(*(f"level_{n}" for n in range(1, MAX_DEPTH)))
    write(deep / "deepest")
    write(deep / "more" / "too_deep")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    found = find_models(tmp_path)
    assert list(found) == ["deepest"]
    assert deep / "deepest" in found["deepest"]


def test_a_name_that_is_there_twice_is_an_error_of_that_name_alone(tmp_path):
    write(tmp_path / "risk" / "fraud")
    write(tmp_path / "cards" / "fraud")
    write(tmp_path / "churn")
    settings = settings_of(tmp_path)
    churn, fraud = settings.each_model()
    assert churn.name == "churn"
    assert fraud[0] == "fraud"
    assert str(tmp_path / "risk" / "fraud") in fraud[1]
    assert str(tmp_path / "cards" / "fraud") in fraud[1]
    with pytest.raises(ConfigError, match="there 2 times"):
        settings.load_model("fraud")
    with pytest.raises(ConfigError, match="there 2 times"):
        load_models(tmp_path)


def _binary(path):
    path.write_bytes(b"\xff\xfe\x00name: x")


def _folder(path):
    path.unlink()
    path.mkdir()


def _nowhere(path):
    path.unlink()
    path.symlink_to(path.parent / "gone.yaml")


def _loop(path):
    path.unlink()
    path.symlink_to(path)


def _large(path):
    path.write_text("# " + "x" * 300_000)


def _deep(path):
    path.write_text("a: " + "[" * 5000 + "]" * 5000)


def _nul(path):
    path.write_bytes(b"name: bad\x00\n")


def _long_number(path):
    path.write_text(MODEL.format(name="bad") + "trigger: {consecutive: " + "9" * 5000 + "}\n")


@pytest.mark.parametrize("spoil", [_binary, _folder, _nowhere, _loop, _large, _deep, _nul, _long_number])
def test_whatever_is_wrong_with_one_model_the_others_are_read(tmp_path, spoil):
    bad, good = write(tmp_path / "bad"), write(tmp_path / "good")
    spoil(bad / "model.yaml")
    broken, fine = settings_of(tmp_path).each_model()
    assert broken[0] == "bad"
    assert str(bad / "model.yaml") in broken[1]
    assert isinstance(fine, ModelConfig)
    assert fine.folder == good.resolve()
    assert settings_of(tmp_path).find_model("bad") == broken
    assert settings_of(tmp_path).find_model("good") == fine
    assert settings_of(tmp_path).find_model("absent") is None


def test_an_unreadable_file_of_overrides_is_the_error_of_each_model(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b")
    found = list(settings_of(tmp_path, HOMEOSTAT_OVERRIDES=str(tmp_path / "none.yaml")).each_model())
    assert [name for name, _ in found] == ["a", "b"]
    assert {problem for _, problem in found} == {
        f"{tmp_path}/none.yaml: no such file; correct HOMEOSTAT_OVERRIDES, which names it"
    }
