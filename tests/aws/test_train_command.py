"""``homeostat train-step``: what it makes is what the local step makes, and how it fails says what to do."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

import homeostat
from homeostat.adapters import build_ports
from homeostat.config import Settings, load_model
from homeostat.retraining.assemble import assemble
from homeostat.retraining.remote_training import code_digest, find_failure
from homeostat.retraining.train import train
from homeostat.storage.retrain_request import RetrainRequest, run_key
from homeostat.storage.step_results import find_result, load_result
from sample_model import MODEL, T0, rows_between

ROOT = Path(homeostat.__file__).parents[2]
PROGRAM = (sys.executable, "-c", "from homeostat.cli import main; main()")
IMAGE = "sha256:" + "a" * 64
#: How many threads there are is a part of what HistGradientBoosting gives.
KEPT = ("AWS_", "PATH", "OMP_", "OPENBLAS_")
#: HistGradientBoosting stops early from 10,000 rows on, and then draws whom to ask.
PER_HOUR = 100
PIPELINE = """
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def on_columns(estimator):
    kind = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("n", StandardScaler(), ["a", "b"]), ("c", kind, ["kind"])])
    return make_pipeline(columns, estimator)


def plain():
    return on_columns(LogisticRegression())


def boosted():
    return on_columns(HistGradientBoostingClassifier(max_iter=15, max_leaf_nodes=8, random_state=0))


def forest():
    return on_columns(RandomForestClassifier(12, max_depth=8, random_state=0, n_jobs=2))


def without_a_seed():
    return on_columns(HistGradientBoostingClassifier(max_iter=15, max_leaf_nodes=8))


def broken():
    raise ValueError("no such sensor")
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The model's folder, as an image carries it."""
    folder = tmp_path_factory.mktemp("image") / "toy"
    folder.mkdir()
    text = MODEL.replace("length: 10d", "length: 20d").replace("pipeline.py:build", "pipeline.py:plain")
    (folder / "model.yaml").write_text(text)
    (folder / "pipeline.py").write_text(PIPELINE)
    rows = rows_between(T0 - timedelta(hours=120), T0, per_hour=PER_HOUR)
    rows["y"] = np.where(np.random.default_rng(5).uniform(size=len(rows)) < 0.2, 1 - rows["y"], rows["y"])
    rows.to_csv(folder / "rows.csv", index=False)
    return folder


@pytest.fixture
def settings_of(home, mlflow_server, s3_server, tmp_path):
    """The environment of a process whose store is its own; an image names what it is."""

    def make(name):
        return {
            **{name: value for name, value in os.environ.items() if name.startswith(KEPT)},
            "PYTHONPATH": str(ROOT / "include"),
            "HOMEOSTAT_HOME": str(ROOT),
            "HOMEOSTAT_MODELS": str(home.parent),
            "HOMEOSTAT_STATE": str(tmp_path / name),
            "HOMEOSTAT_STORE": f"s3://{s3_server.bucket}/{tmp_path.name}/{name}",
            "MLFLOW_TRACKING_URI": mlflow_server,
            "HOMEOSTAT_IMAGE_DIGEST": IMAGE,
            "HOMEOSTAT_GIT_REVISION": "abc123",
        }

    return make


@pytest.fixture
def assembled(home, settings_of):
    """A retrain up to its snapshot; gives its environment, ports and key."""

    def make(name, **asked):
        env = settings_of(name)
        ports = build_ports(Settings.from_env(env))
        key = run_key("toy", f"{env['HOMEOSTAT_STORE']} {asked}")
        request = RetrainRequest(run_key=key, trigger_id=key, until=T0.isoformat(), **asked)
        assemble(load_model(home), request, ports)
        return env, ports, key

    return make


@pytest.fixture
def branch(settings_of):
    """Another store that holds what a store holds now."""

    def make(ports, name):
        env = settings_of(name)
        copy = build_ports(Settings.from_env(env)).store
        for key in ports.store.list(""):
            copy.put(key, ports.store.get(key))
        return env, copy

    return make


def run(env, *arguments):
    return subprocess.run(
        [*PROGRAM, "train-step", *arguments], env=env, capture_output=True, text=True, check=False
    )


def files(store, digest):
    prefix = f"bundles/toy/{digest}/"
    return {name.removeprefix(prefix): store.get(name) for name in store.list(prefix)}


def run_of(url, run_id):
    from mlflow import MlflowClient

    return MlflowClient(url).get_run(run_id)


def ours(tags, key):
    """The tags that Homeostat sets, with the key that names the retrain put aside."""
    return {name: value.replace(key, "KEY") for name, value in tags.items() if name.startswith("homeostat.")}


def in_process(home, ports, key, monkeypatch, env):
    for name in ("HOMEOSTAT_IMAGE_DIGEST", "HOMEOSTAT_GIT_REVISION"):
        monkeypatch.setenv(name, env[name])
    return train(load_model(home), key, ports)


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["boosted", "forest"])
def test_here_and_by_the_command_the_same_snapshot_and_seed_are_the_same_bytes(
    pipeline, home, assembled, branch, monkeypatch
):
    env, ports, key = assembled("here", pipeline=f"pipeline.py:{pipeline}")
    elsewhere, copy = branch(ports, "there")
    here = in_process(home, ports, key, monkeypatch, env)
    done = run(elsewhere, "toy", "--run-key", key, "--json")
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout)
    assert here["rows"] > 10_000
    for role in ("digest", "judge"):
        mine, theirs = files(ports.store, here[role]), files(copy, there[role])
        assert set(mine) == {"manifest.json", "model.skops", "reference.bin"}
        assert [name for name in mine if mine[name] != theirs[name]] == []
    assert there == here == load_result(copy, "toy", key, "train")
    assert there["judge"] != there["digest"]


@pytest.mark.slow
def test_in_another_image_the_manifest_alone_differs_and_says_which(home, assembled, branch, monkeypatch):
    env, ports, key = assembled("here")
    elsewhere, copy = branch(ports, "there")
    other = "sha256:" + "b" * 64
    done = run({**elsewhere, "HOMEOSTAT_IMAGE_DIGEST": other}, "toy", "--run-key", key, "--json")
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout)
    here = in_process(home, ports, key, monkeypatch, env)
    assert here["digest"] != there["digest"], "where it was trained is a part of what a version is"
    mine, theirs = files(ports.store, here["digest"]), files(copy, there["digest"])
    assert [name for name in mine if mine[name] != theirs[name]] == ["manifest.json"]
    manifests = [json.loads(each["manifest.json"]) for each in (mine, theirs)]
    assert manifests[0]["environment"].pop("image_digest") == env["HOMEOSTAT_IMAGE_DIGEST"]
    assert manifests[1]["environment"].pop("image_digest") == other
    assert manifests[0] == manifests[1]


@pytest.mark.slow
def test_the_mlflow_run_is_the_one_that_the_local_step_writes(home, assembled, monkeypatch, mlflow_server):
    """One run key has one run: the local step writes into another run, of a retrain that is the same."""
    env, ports, key = assembled("here")
    elsewhere, _, again = assembled("there")
    here = in_process(home, ports, key, monkeypatch, env)
    done = run(elsewhere, "toy", "--run-key", again, "--json")
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout)
    mine, theirs = (run_of(mlflow_server, each["run_id"]) for each in (here, there))
    assert mine.data.params == theirs.data.params
    assert mine.data.metrics == theirs.data.metrics
    assert ours(mine.data.tags, key) == ours(theirs.data.tags, again)
    assert mine.info.status == theirs.info.status == "RUNNING", "the steps that follow end it"
    named = {"pipeline", "recipe", "training_rows", "image_digest", "lock_digest", "git_revision"}
    assert named <= set(theirs.data.params)


@pytest.mark.slow
def test_a_pipeline_without_a_seed_is_not_the_same_twice(home, assembled, branch, monkeypatch):
    env, ports, key = assembled("here", pipeline="pipeline.py:without_a_seed")
    _, copy = branch(ports, "there")
    one = in_process(home, ports, key, monkeypatch, env)
    other = in_process(home, replace(ports, store=copy), key, monkeypatch, env)
    assert files(ports.store, one["digest"])["model.skops"] != files(copy, other["digest"])["model.skops"]
    assert one["digest"] != other["digest"]


@pytest.fixture
def command(monkeypatch):
    """The command in this process; gives its status, and what it printed on each side."""
    from typer.testing import CliRunner

    from homeostat.cli.app import app

    def call(env, *arguments):
        for name in [name for name in os.environ if name.startswith("HOMEOSTAT_")]:
            monkeypatch.delenv(name)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        done = CliRunner().invoke(app, ["train-step", *arguments])
        return done.exit_code, done.stdout, done.stderr

    return call


def test_done_twice_it_is_done_once_and_prints_the_same(assembled, command, monkeypatch):
    env, ports, key = assembled("here")
    status, first, _ = command(env, "toy", "--run-key", key)
    assert status == 0
    data, result = (load_result(ports.store, "toy", key, step) for step in ("assemble", "train"))
    assert f"toy, retrain {key}: {data['rows']} rows to learn from, {data['holdout']} held out" in first
    assert result["sentence"] in first
    assert result["url"] in first
    monkeypatch.setattr("homeostat.retraining.recipes.fit_version", None)
    status, again, _ = command(env, "toy", "--run-key", key, "--json")
    assert (status, json.loads(again)) == (0, result)


def test_a_key_or_a_model_that_is_not_there_is_said_and_not_tried_again(settings_of, command):
    env = settings_of("here")
    status, out, err = command(env, "toy", "--run-key", "0123456789ab")
    assert (status, out) == (1, "")
    assert "no retrain of toy has been assembled under the run key '0123456789ab' in s3://" in err
    assert "HOMEOSTAT_STORE must be that" in err
    status, _, err = command(env, "toys", "--run-key", "0123456789ab")
    assert status == 1
    assert "no model 'toys'" in err
    store = build_ports(Settings.from_env(env)).store
    assert store.list("") == [], "what has not begun leaves nothing behind"


def test_a_store_that_does_not_answer_is_a_reason_to_try_again(settings_of, command, free_port):
    env = {**settings_of("here"), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    status, out, err = command(env, "toy", "--run-key", "0123456789ab")
    assert (status, out) == (75, "")
    assert err.startswith("Unavailable: ")
    assert err.endswith("(a retry may help)\n")


def test_a_pipeline_that_fails_is_said_to_whoever_started_it_and_to_mlflow(assembled, command, mlflow_server):
    env, ports, key = assembled("here", pipeline="pipeline.py:broken")
    status, _, err = command(env, "toy", "--run-key", key)
    assert status == 1
    assert "ValueError while building: no such sensor" in err
    sentence = find_failure(ports.store, "toy", key).sentence
    assert sentence.startswith("PipelineError: ")
    run = run_of(mlflow_server, load_result(ports.store, "toy", key, "assemble")["run_id"])
    assert run.data.tags["homeostat.error"] == sentence
    assert run.info.status == "FAILED"
    assert find_result(ports.store, "toy", key, "train") is None


def test_what_nobody_foresaw_is_left_with_its_traceback_and_may_be_tried_again(
    assembled, command, monkeypatch
):
    env, ports, key = assembled("here")
    monkeypatch.setattr("homeostat.retraining.recipes.fit_version", lambda *_: 1 / 0)
    status, _, err = command(env, "toy", "--run-key", key)
    assert status == 70
    assert "Traceback" in err
    assert find_failure(ports.store, "toy", key).sentence == "ZeroDivisionError: division by zero"


def test_an_image_with_another_pipeline_fits_nothing(assembled, command):
    env, ports, key = assembled("here")
    env["HOMEOSTAT_MODEL_DIGEST"] = "0" * 64
    status, _, err = command(env, "toy", "--run-key", key)
    assert status == 1
    assert "build the task's image from the commit that Airflow runs" in err
    assert find_failure(ports.store, "toy", key).sentence.startswith("Refused: ")


def test_the_digest_of_the_code_follows_all_that_is_fitted_and_nothing_else(home, tmp_path):
    folder = tmp_path / "toy"
    shutil.copytree(home, folder)
    before = code_digest(load_model(folder))
    assert before == code_digest(load_model(home)), "wherever the folder lies"
    yaml = folder / "model.yaml"
    yaml.write_text(yaml.read_text().replace("canary: {steps: [0.5]", "canary: {steps: [0.2]"))
    (folder / "README.md").write_text("words")
    assert code_digest(load_model(folder)) == before
    yaml.write_text(yaml.read_text().replace("length: 20d", "length: 21d"))
    other = code_digest(load_model(folder))
    (folder / "pipeline.py").write_text(PIPELINE + "# changed")
    assert len({before, other, code_digest(load_model(folder))}) == 3


def test_its_help_says_what_each_status_means(command):
    status, out, _ = command({"COLUMNS": "200"}, "--help")
    assert status == 0
    for word in ("--run-key", "75", "70", "trying again", "HOMEOSTAT_STORE"):
        assert word in out
