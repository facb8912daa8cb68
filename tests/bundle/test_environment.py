import hashlib
import subprocess

from homeostat.bundle.environment import environment, git_revision, parity, parity_required


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


def test_the_image_is_what_its_starter_says_it_is(tmp_path, monkeypatch):
    monkeypatch.delenv("HOMEOSTAT_IMAGE_DIGEST", raising=False)
    assert environment(home=tmp_path)["image_digest"] == "none"
    monkeypatch.setenv("HOMEOSTAT_IMAGE_DIGEST", "sha256:" + "a" * 64)
    assert environment(home=tmp_path)["image_digest"] == "sha256:" + "a" * 64


SAME = {"lock_digest": "1" * 64, "image_digest": "sha256:" + "a" * 64, "git_revision": "abc", "numpy": "2.4"}


def test_required_parity_is_lock_file_and_image_and_nothing_else():
    assert parity_required(SAME, {**SAME, "git_revision": "def", "numpy": "2.5"}) == []
    assert parity_required(SAME, {**SAME, "image_digest": "none", "lock_digest": "2" * 64}) == [
        "lock_digest 111111111111 there, 222222222222 here",
        "image_digest sha256:aaaaaaaaaaaa there, none here",
    ]


def test_what_nobody_knows_is_not_taken_for_the_same():
    unknown = {**SAME, "lock_digest": "unknown"}
    assert parity_required(unknown, unknown) == ["lock_digest unknown there, unknown here"]
    older = {name: value for name, value in SAME.items() if name != "image_digest"}
    assert parity_required(older, SAME) == ["image_digest unknown there, sha256:aaaaaaaaaaaa here"]
    assert parity_required({}, SAME) == ["its environment is not known"]
