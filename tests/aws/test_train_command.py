"""``homeostat train-step`` gives the same version as the local step, and each error says what to do."""

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
#: HistGradientBoosting depends on the number of threads.
KEPT = ("AWS_", "PATH", "OMP_", "OPENBLAS_")
#: From 10,000 rows on, HistGradientBoosting stops early on a random validation set.
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
    """Return the model's folder, as in an image."""
    folder = tmp_path_factory.mktemp("image") / "sample"
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
    """Return a function that makes the environment of a process with its own store and an image digest."""

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
    """Return a function that assembles a retrain and returns environment, ports and run key."""

    def make(name, **options):
        env = settings_of(name)
        ports = build_ports(Settings.from_env(env))
        key = run_key("sample", f"{env['HOMEOSTAT_STORE']} {options}")
        request = RetrainRequest(run_key=key, trigger_id=key, until=T0.isoformat(), **options)
        assemble(load_model(home), request, ports)
        return env, ports, key

    return make


@pytest.fixture
def branch(settings_of):
    """Return a function that copies a store to a new one."""

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
    prefix = f"bundles/sample/{digest}/"
    return {name.removeprefix(prefix): store.get(name) for name in store.list(prefix)}


def run_of(url, run_id):
    from mlflow import MlflowClient

    return MlflowClient(url).get_run(run_id)


def ours(tags, key):
    """Return Homeostat's tags, with the run key replaced."""
    return {name: value.replace(key, "KEY") for name, value in tags.items() if name.startswith("homeostat.")}


def in_process(home, ports, key, monkeypatch, env):
    for name in ("HOMEOSTAT_IMAGE_DIGEST", "HOMEOSTAT_GIT_REVISION"):
        monkeypatch.setenv(name, env[name])
    return train(load_model(home), key, ports)


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["boosted", "forest"])
def test_the_command_and_the_local_step_write_the_same_bytes(pipeline, home, assembled, branch, monkeypatch):
    env, ports, key = assembled("here", pipeline=f"pipeline.py:{pipeline}")
    elsewhere, copy = branch(ports, "there")
    here = in_process(home, ports, key, monkeypatch, env)
    done = run(elsewhere, "sample", "--run-key", key, "--json")
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout)
    assert here["rows"] > 10_000
    for role in ("digest", "holdout_version"):
        mine, theirs = files(ports.store, here[role]), files(copy, there[role])
        assert set(mine) == {"manifest.json", "model.skops", "reference.bin"}
        assert [name for name in mine if mine[name] != theirs[name]] == []
    assert there == here == load_result(copy, "sample", key, "train")
    assert there["holdout_version"] != there["digest"]


@pytest.mark.slow
def test_another_image_changes_only_the_manifest(home, assembled, branch, monkeypatch):
    env, ports, key = assembled("here")
    elsewhere, copy = branch(ports, "there")
    other = "sha256:" + "b" * 64
    done = run({**elsewhere, "HOMEOSTAT_IMAGE_DIGEST": other}, "sample", "--run-key", key, "--json")
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout)
    here = in_process(home, ports, key, monkeypatch, env)
    assert here["digest"] != there["digest"], "the environment is part of the digest"
    mine, theirs = files(ports.store, here["digest"]), files(copy, there["digest"])
    assert [name for name in mine if mine[name] != theirs[name]] == ["manifest.json"]
    manifests = [json.loads(each["manifest.json"]) for each in (mine, theirs)]
    assert manifests[0]["environment"].pop("image_digest") == env["HOMEOSTAT_IMAGE_DIGEST"]
    assert manifests[1]["environment"].pop("image_digest") == other
    assert manifests[0] == manifests[1]


@pytest.mark.slow
def test_the_command_and_the_local_step_write_the_same_mlflow_run(
    home, assembled, monkeypatch, mlflow_server
):
    """A run key has one run, so the local step writes the run of an identical retrain."""
    env, ports, key = assembled("here")
    elsewhere, _, again = assembled("there")
    here = in_process(home, ports, key, monkeypatch, env)
    done = run(elsewhere, "sample", "--run-key", again, "--json")
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout)
    mine, theirs = (run_of(mlflow_server, each["run_id"]) for each in (here, there))
    assert mine.data.params == theirs.data.params
    assert mine.data.metrics == theirs.data.metrics
    assert ours(mine.data.tags, key) == ours(theirs.data.tags, again)
    assert mine.info.status == theirs.info.status == "RUNNING", "a later step ends it"
    named = {"pipeline", "recipe", "training_rows", "image_digest", "lock_digest", "git_revision"}
    assert named <= set(theirs.data.params)


@pytest.mark.slow
def test_a_pipeline_without_a_seed_differs_each_time(home, assembled, branch, monkeypatch):
    env, ports, key = assembled("here", pipeline="pipeline.py:without_a_seed")
    _, copy = branch(ports, "there")
    one = in_process(home, ports, key, monkeypatch, env)
    other = in_process(home, replace(ports, store=copy), key, monkeypatch, env)
    assert files(ports.store, one["digest"])["model.skops"] != files(copy, other["digest"])["model.skops"]
    assert one["digest"] != other["digest"]


@pytest.fixture
def command(monkeypatch):
    """Return a function that runs the command in this process: exit status, stdout, stderr."""
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


def test_a_second_run_returns_the_first_result(assembled, command, monkeypatch):
    env, ports, key = assembled("here")
    status, first, _ = command(env, "sample", "--run-key", key)
    assert status == 0
    data, result = (load_result(ports.store, "sample", key, step) for step in ("assemble", "train"))
    assert f"sample, retrain {key}: {data['rows']} rows to train on, {data['holdout']} held out" in first
    assert result["sentence"] in first
    assert result["url"] in first
    monkeypatch.setattr("homeostat.retraining.recipes.probe_version", None)
    status, again, _ = command(env, "sample", "--run-key", key, "--json")
    assert (status, json.loads(again)) == (0, result)


def test_an_unknown_key_or_model_is_a_permanent_error(settings_of, command):
    env = settings_of("here")
    status, out, err = command(env, "sample", "--run-key", "0123456789ab")
    assert (status, out) == (1, "")
    assert "no assembled retrain of sample with run key '0123456789ab' in s3://" in err
    assert "set HOMEOSTAT_STORE as in the process that assembled it" in err
    status, _, err = command(env, "samples", "--run-key", "0123456789ab")
    assert status == 1
    assert "no model 'samples'" in err
    store = build_ports(Settings.from_env(env)).store
    assert store.list("") == [], "nothing is written before the step starts"


def test_an_unreachable_store_is_a_temporary_error(settings_of, command, free_port):
    env = {**settings_of("here"), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    status, out, err = command(env, "sample", "--run-key", "0123456789ab")
    assert (status, out) == (75, "")
    assert err.startswith("Unavailable: ")
    assert err.endswith("(a retry may help)\n")


def test_a_pipeline_error_is_printed_saved_and_tagged_in_mlflow(assembled, command, mlflow_server):
    env, ports, key = assembled("here", pipeline="pipeline.py:broken")
    status, _, err = command(env, "sample", "--run-key", key)
    assert status == 1
    assert "ValueError while building: no such sensor" in err
    sentence = find_failure(ports.store, "sample", key).sentence
    assert sentence.startswith("PipelineError: ")
    run = run_of(mlflow_server, load_result(ports.store, "sample", key, "assemble")["run_id"])
    assert run.data.tags["homeostat.error"] == sentence
    assert run.info.status == "FAILED"
    assert find_result(ports.store, "sample", key, "train") is None


def test_an_unexpected_error_prints_its_traceback_and_may_be_retried(assembled, command, monkeypatch):
    env, ports, key = assembled("here")
    monkeypatch.setattr("homeostat.retraining.recipes.probe_version", lambda *_: 1 / 0)
    status, _, err = command(env, "sample", "--run-key", key)
    assert status == 70
    assert "Traceback" in err
    assert find_failure(ports.store, "sample", key).sentence == "ZeroDivisionError: division by zero"


def test_an_image_with_other_code_is_refused(assembled, command):
    env, ports, key = assembled("here")
    env["HOMEOSTAT_MODEL_DIGEST"] = "0" * 64
    status, _, err = command(env, "sample", "--run-key", key)
    assert status == 1
    assert "build its image from the commit that Airflow runs" in err
    assert find_failure(ports.store, "sample", key).sentence.startswith("Refused: ")


def test_the_code_digest_covers_everything_that_affects_the_fit(home, tmp_path):
    folder = tmp_path / "sample"
    shutil.copytree(home, folder)
    before = code_digest(load_model(folder))
    assert before == code_digest(load_model(home)), "independent of the folder's path"
    yaml = folder / "model.yaml"
    yaml.write_text(yaml.read_text().replace("canary: {steps: [0.5]", "canary: {steps: [0.2]"))
    (folder / "README.md").write_text("words")
    assert code_digest(load_model(folder)) == before
    yaml.write_text(yaml.read_text().replace("length: 20d", "length: 21d"))
    other = code_digest(load_model(folder))
    (folder / "pipeline.py").write_text(PIPELINE + "# changed")
    assert len({before, other, code_digest(load_model(folder))}) == 3


def test_the_help_explains_each_exit_status(command):
    status, out, _ = command({"COLUMNS": "200"}, "--help")
    assert status == 0
    for word in ("--run-key", "75", "70", "retry may help", "HOMEOSTAT_STORE"):
        assert word in out
