"""The copy of models in S3: fetched when they change, listed when the copy is old."""

import hashlib
import threading
from datetime import timedelta

import pytest

from homeostat.adapters import open_store
from homeostat.adapters.models_folder import local_models
from homeostat.adapters.store_s3 import S3Store
from homeostat.config.errors import NotFound, Unavailable

LONG = timedelta(hours=1)
ALL = {"team/fraud/model.yaml", "team/fraud/lib/code.py", "churn/model.yaml", "shared.csv"}


@pytest.fixture
def bucket(s3_server, request):
    """A prefix with two models in subfolders and a file of none, and the store that writes there."""
    where = f"s3://{s3_server.bucket}/{hashlib.sha256(request.node.name.encode()).hexdigest()[:16]}"
    store = open_store(where)
    for key in ALL:
        store.put(key, key.encode())
    return where, store


@pytest.fixture
def calls(monkeypatch):
    """What is asked of the bucket: "list", or the key of an object."""
    found = []
    get, tags = S3Store.get, S3Store.tags
    monkeypatch.setattr(S3Store, "get", lambda self, key: (found.append(key), get(self, key))[1])
    monkeypatch.setattr(S3Store, "tags", lambda self, *more: (found.append("list"), tags(self, *more))[1])
    return found


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("[!.]*") if path.is_file()}


def test_an_object_is_fetched_once_and_again_when_it_has_changed(bucket, tmp_path, calls):
    where, store = bucket
    folder = local_models(where, tmp_path)
    assert len(calls) == 5
    assert files(folder) == ALL
    calls.clear()
    assert local_models(where, tmp_path) == folder
    assert calls == ["list"]
    store.put("churn/model.yaml", b"changed", overwrite=True)
    store.delete("shared.csv")
    calls.clear()
    local_models(where, tmp_path)
    assert calls == ["list", "churn/model.yaml"]
    assert (folder / "churn/model.yaml").read_bytes() == b"changed"
    assert files(folder) == {"team/fraud/model.yaml", "team/fraud/lib/code.py", "churn/model.yaml"}


def test_within_the_time_of_a_listing_the_bucket_is_not_asked(bucket, tmp_path, calls):
    where, store = bucket
    folder = local_models(where, tmp_path, refresh=LONG)
    store.put("churn/model.yaml", b"changed", overwrite=True)
    calls.clear()
    local_models(where, tmp_path, refresh=LONG)
    assert calls == []
    assert (folder / "churn/model.yaml").read_bytes() == b"churn/model.yaml"
    local_models(where, tmp_path, refresh=timedelta(0))
    assert (folder / "churn/model.yaml").read_bytes() == b"changed"


def test_a_task_fetches_its_own_model_and_what_belongs_to_none(bucket, tmp_path, calls):
    where, _ = bucket
    folder = local_models(where, tmp_path, model="fraud", refresh=LONG)
    assert files(folder) == {"team/fraud/model.yaml", "team/fraud/lib/code.py", "shared.csv"}
    assert "churn/model.yaml" not in calls
    calls.clear()
    local_models(where, tmp_path, refresh=LONG)
    assert calls == ["churn/model.yaml"], "the listing serves another model, too"


def test_a_file_that_was_deleted_here_is_fetched_again(bucket, tmp_path):
    where, _ = bucket
    folder = local_models(where, tmp_path, refresh=LONG)
    (folder / "churn/model.yaml").unlink()
    local_models(where, tmp_path, refresh=LONG)
    assert (folder / "churn/model.yaml").read_bytes() == b"churn/model.yaml"


def test_while_the_bucket_is_away_the_last_copy_is_used(bucket, tmp_path, monkeypatch):
    where, _ = bucket
    folder = local_models(where, tmp_path, model="fraud")

    def away(*_):
        raise Unavailable("the bucket is away")

    monkeypatch.setattr(S3Store, "get", away)
    monkeypatch.setattr(S3Store, "tags", away)
    assert local_models(where, tmp_path, model="fraud") == folder
    with pytest.raises(Unavailable):
        local_models(where, tmp_path)  # churn was never fetched
    with pytest.raises(Unavailable):
        local_models(where, tmp_path / "elsewhere")


def test_an_object_that_goes_between_listing_and_fetching_is_left_out(bucket, tmp_path, monkeypatch):
    where, _ = bucket
    get = S3Store.get

    def gone(self, key):
        if key == "churn/model.yaml":
            raise NotFound(key)
        return get(self, key)

    monkeypatch.setattr(S3Store, "get", gone)
    assert "churn/model.yaml" not in files(local_models(where, tmp_path))


def test_a_copy_of_an_older_release_is_taken_over(bucket, tmp_path):
    where, _ = bucket
    folder = local_models(where, tmp_path)
    for path in tmp_path.glob("*.json"):
        path.unlink()
    (folder / "left.py").write_text("of a model that is gone")
    local_models(where, tmp_path)
    assert files(folder) == ALL


def test_processes_that_begin_together_fetch_once(bucket, tmp_path, calls):
    where, _ = bucket
    together = threading.Barrier(6)

    def begin():
        together.wait()
        local_models(where, tmp_path, refresh=LONG)

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(calls) == sorted(set(calls))
    assert len(calls) == 5


@pytest.mark.parametrize("key", [".index.json", "churn/.DS_Store", "../up.py", "churn/a?b.csv", "churn//x"])
def test_a_key_that_cannot_be_a_file_here_is_left_out_and_the_others_are_copied(bucket, tmp_path, key):
    where, store = bucket
    store._client.put_object(Bucket=store.bucket, Key=store._prefix + key, Body=b"{}")
    folder = local_models(where, tmp_path)
    assert files(folder) == ALL
    assert not list(tmp_path.rglob("up.py"))
