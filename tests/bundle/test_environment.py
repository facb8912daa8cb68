import hashlib
import subprocess

from homeostat.bundle.environment import (
    blocking_differences,
    environment,
    environment_differences,
    git_revision,
)


def git(folder, *words):
    subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t", *words], check=True
    )


def test_revision_lock_and_versions_are_recorded_flat(tmp_path, monkeypatch):
    monkeypatch.delenv("HOMEOSTAT_GIT_REVISION", raising=False)
    (tmp_path / "requirements.txt").write_text("numpy==2.4.6\n")
    found = environment(home=tmp_path)
    assert found["lock_digest"] == hashlib.sha256(b"numpy==2.4.6\n").hexdigest()
    assert found["scikit-learn"].count(".") == 2
    assert all(isinstance(value, str) for value in found.values())


def test_unknown_values_are_unknown(tmp_path, monkeypatch):
    monkeypatch.delenv("HOMEOSTAT_GIT_REVISION", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = environment(home=tmp_path)
    assert (found["git_revision"], found["lock_digest"]) == ("unknown", "unknown")


def test_an_image_without_git_gets_its_revision_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HOMEOSTAT_GIT_REVISION", "abc123")
    assert environment(home=tmp_path)["git_revision"] == "abc123"


def test_a_changed_file_makes_the_revision_dirty(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "pipeline.py").write_text("x = 1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    clean = git_revision(tmp_path)
    assert len(clean) == 40
    (tmp_path / "pipeline.py").write_text("x = 2")
    assert git_revision(tmp_path) == f"{clean}-dirty"


def test_every_difference_is_named_and_no_other():
    one = {"numpy": "2.4.6", "python": "3.11.7", "gone": "1"}
    other = {"numpy": "2.5.5", "python": "3.11.7", "new": "1"}
    assert environment_differences(one, other) == [
        "numpy: 2.4.6 became 2.5.5",
        "gone: 1 became unknown",
        "new: unknown became 1",
    ]
    assert environment_differences(one, one) == []


def test_an_unknown_environment_is_a_difference():
    assert environment_differences({}, {"numpy": "2"}) == ["the champion's environment is unknown"]


def test_the_image_digest_comes_from_its_variable(tmp_path, monkeypatch):
    monkeypatch.delenv("HOMEOSTAT_IMAGE_DIGEST", raising=False)
    assert environment(home=tmp_path)["image_digest"] == "none"
    monkeypatch.setenv("HOMEOSTAT_IMAGE_DIGEST", "sha256:" + "a" * 64)
    assert environment(home=tmp_path)["image_digest"] == "sha256:" + "a" * 64


SAME = {"lock_digest": "1" * 64, "image_digest": "sha256:" + "a" * 64, "git_revision": "abc", "numpy": "2.4"}


def test_enforce_compares_only_lock_file_and_image():
    assert blocking_differences(SAME, {**SAME, "git_revision": "def", "numpy": "2.5"}) == []
    assert blocking_differences(SAME, {**SAME, "image_digest": "none", "lock_digest": "2" * 64}) == [
        "lock_digest was 111111111111, is 222222222222",
        "image_digest was sha256:aaaaaaaaaaaa, is none",
    ]


def test_an_unknown_value_is_a_difference():
    unknown = {**SAME, "lock_digest": "unknown"}
    assert blocking_differences(unknown, unknown) == ["lock_digest was unknown, is unknown"]
    older = {name: value for name, value in SAME.items() if name != "image_digest"}
    assert blocking_differences(older, SAME) == ["image_digest was unknown, is sha256:aaaaaaaaaaaa"]
    assert blocking_differences({}, SAME) == ["its environment is unknown"]
