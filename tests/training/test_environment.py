import hashlib
import subprocess

from homeostat.training import environment, parity
from homeostat.training.environment import git_revision


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


def test_what_cannot_be_known_is_called_unknown(tmp_path, monkeypatch):
    monkeypatch.delenv("HOMEOSTAT_GIT_REVISION", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = environment(home=tmp_path)
    assert (found["git_revision"], found["lock_digest"]) == ("unknown", "unknown")


def test_an_image_without_git_is_told_its_revision(tmp_path, monkeypatch):
    monkeypatch.setenv("HOMEOSTAT_GIT_REVISION", "abc123")
    assert environment(home=tmp_path)["git_revision"] == "abc123"


def test_files_that_differ_from_the_commit_are_said(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "pipeline.py").write_text("x = 1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    clean = git_revision(tmp_path)
    assert len(clean) == 40
    (tmp_path / "pipeline.py").write_text("x = 2")
    assert git_revision(tmp_path) == f"{clean}-dirty"


def test_parity_names_every_difference_and_only_those():
    one = {"numpy": "2.4.6", "python": "3.11.7", "gone": "1"}
    other = {"numpy": "2.5.5", "python": "3.11.7", "new": "1"}
    assert parity(one, other) == [
        "numpy: 2.4.6 became 2.5.5",
        "gone: 1 became unknown",
        "new: unknown became 1",
    ]
    assert parity(one, one) == []


def test_an_unknown_environment_is_not_called_the_same():
    assert parity({}, {"numpy": "2"}) == ["the champion's environment is not known"]
