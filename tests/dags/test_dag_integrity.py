"""Every model has two DAGs; they parse quickly and import no heavy library."""

import json
import shutil
from pathlib import Path

import pytest

PARSE = """
import json, sys, time
from airflow.dag_processing.dagbag import DagBag
import airflow.providers.standard.operators.python, airflow.providers.apprise
began = time.process_time()
bag = DagBag()
seconds = time.process_time() - began
banned = ("mlflow", "sklearn", "great_expectations", "pandas", "scipy", "matplotlib")
heavy = [m for m in banned if m in sys.modules]
dags = {d.dag_id: {"tasks": [t.task_id for t in d.topological_sort()], "tags": sorted(d.tags),
        "paused": d.is_paused_upon_creation, "active": d.max_active_runs, "catchup": d.catchup,
        "params": sorted(d.params), "doc": d.doc_md, "fields": {k: v.dump() for k, v in
        ((k, d.params.get_param(k)) for k in d.params)}} for d in bag.dags.values()}
print(json.dumps({"errors": bag.import_errors, "seconds": seconds, "heavy": heavy, "dags": dags}))
"""

MODEL = """
name: {name}
task: classification
pipeline: pipeline.py:build
source: {{kind: csv, uri: rows.csv}}
schema:
  label: {{name: y}}
  features: {{x: {{type: number}}}}
serve: {serve}
"""


def write_model(folder, name, serve="gateway"):
    (folder / name).mkdir(parents=True)
    (folder / name / "model.yaml").write_text(MODEL.format(name=name, serve=serve))


@pytest.fixture
def parse(run_in_airflow):
    return lambda **env: json.loads(run_in_airflow(PARSE, **env))


def test_the_shipped_models_have_both_dags(parse):
    found = parse()
    assert found["errors"] == {}
    assert {"drift_check__pump_fault", "retrain__pump_fault"} <= set(found["dags"])
    assert {"drift_check__bike_demand", "retrain__bike_demand"} <= set(found["dags"])
    check = found["dags"]["drift_check__pump_fault"]
    assert check["tasks"] == ["check", "trigger_retrain"]
    assert (check["active"], check["catchup"]) == (1, False), "missed hours do not start a burst of runs"
    assert check["params"] == ["window_end"]
    retrain = found["dags"]["retrain__pump_fault"]
    steps = ["assemble", "train", "validate", "gate", "register", "shadow", "canary", "promote"]
    assert retrain["tasks"] == steps
    assert not retrain["paused"], "a paused DAG loses asset events"
    assert retrain["params"] == ["force", "pipeline", "reason", "skip_shadow", "training_window", "until"]


def test_fifty_models_parse_in_two_seconds_without_heavy_imports(parse, tmp_path):
    for number in range(50):
        write_model(tmp_path, f"model_{number:02d}")
    found = parse(HOMEOSTAT_MODELS=str(tmp_path))
    assert found["errors"] == {}
    assert len(found["dags"]) == 101
    assert found["heavy"] == []
    assert found["seconds"] < 2.0


def test_a_batch_model_has_neither_shadow_nor_canary(parse, tmp_path):
    write_model(tmp_path, "nightly", serve="none")
    tasks = parse(HOMEOSTAT_MODELS=str(tmp_path))["dags"]["retrain__nightly"]["tasks"]
    assert tasks == ["assemble", "train", "validate", "gate", "register", "promote"]


def test_an_invalid_model_yaml_shows_its_error_and_does_not_affect_the_others(parse, tmp_path):
    write_model(tmp_path, "good")
    write_model(tmp_path, "bad")
    path = tmp_path / "bad" / "model.yaml"
    path.write_text(path.read_text() + "monitor: {evry: 1h}\n")
    shutil.copytree(tmp_path / "good", tmp_path / "twin")
    found = parse(HOMEOSTAT_MODELS=str(tmp_path))
    assert found["errors"] == {}
    assert {"drift_check__good", "drift_check__bad", "drift_check__twin"} <= set(found["dags"])
    assert found["dags"]["drift_check__bad"]["tags"] == ["broken", "homeostat"]
    assert "did you mean 'every'" in found["dags"]["drift_check__bad"]["doc"]
    assert "name is 'good' but the folder is 'twin'" in found["dags"]["retrain__twin"]["doc"]


QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/homeostat-triggers.fifo"
WATCHERS = """
import json
from airflow.dag_processing.dagbag import DagBag
dag = DagBag().dags["consume_retrain_triggers"]
watchers = [watcher for asset in dag.timetable.asset_condition.objects for watcher in asset.watchers]
print(json.dumps([watcher.trigger.serialize() for watcher in watchers]))
"""


def test_a_trigger_queue_adds_the_consumer_dag_without_heavy_imports(parse, tmp_path):
    write_model(tmp_path, "good")
    assert "consume_retrain_triggers" not in parse(HOMEOSTAT_MODELS=str(tmp_path))["dags"]
    found = parse(HOMEOSTAT_MODELS=str(tmp_path), HOMEOSTAT_TRIGGERS=QUEUE)
    assert (found["errors"], found["heavy"]) == ({}, [])
    dag = found["dags"]["consume_retrain_triggers"]
    assert dag["tasks"] == ["receive", "message.start", "message.ack"]
    assert not dag["paused"], "a paused DAG loses asset events"


def test_the_queue_watcher_does_not_delete_messages(run_in_airflow, tmp_path):
    env = {"HOMEOSTAT_MODELS": str(tmp_path), "HOMEOSTAT_TRIGGERS": QUEUE}
    ((path, how),) = json.loads(run_in_airflow(WATCHERS, **env))
    assert path == "homeostat_airflow.sqs_consumer.QueueTrigger", "the triggerer can import it"
    assert how["sqs_queue"] == QUEUE
    assert how["region_name"] == "eu-central-1", "from the queue's URL, not from the environment"
    assert how["delete_message_on_reception"] is False
    assert how["visibility_timeout"] is None, "the queue's own timeout applies"
    assert (how["wait_time_seconds"], how["max_messages"]) == (20, 10)


def test_a_model_checked_by_lambda_is_synced_and_the_form_shows_how_to_recheck(parse, tmp_path):
    write_model(tmp_path, "far")
    path = tmp_path / "far" / "model.yaml"
    path.write_text(path.read_text() + "monitor: {runs_on: lambda}\n")
    found = parse(HOMEOSTAT_MODELS=str(tmp_path), HOMEOSTAT_PROJECT="acme")
    assert found["errors"] == {}
    check = found["dags"]["drift_check__far"]
    assert check["tasks"] == ["sync_detector"]
    assert "aws" in check["tags"]
    field = check["fields"]["window_end"]["schema"]
    assert "aws lambda invoke --function-name acme-detector" in field["description_md"]
    assert field["type"] == ["null"], "the form requires a value unless the type is a list"


TASK = """
import json
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.definitions._internal.dag_parsing_context import _airflow_parsing_context_manager
import homeostat.config.settings as settings
read, load = [], settings.try_model
settings.try_model = lambda name, *more: (read.append(name), load(name, *more))[1]
found = {{}}
for asked in {asked!r}:
    read.clear()
    with _airflow_parsing_context_manager(dag_id=asked, task_id="check"):
        bag = DagBag()
    found[asked] = [sorted(bag.dags), list(read), bag.import_errors]
print(json.dumps(found))
"""


def test_a_tasks_own_parse_reads_and_builds_its_model_alone(run_in_airflow, tmp_path):
    for name in ("alpha", "beta", "a__b"):
        write_model(tmp_path, name)
    write_model(tmp_path / "team", "gamma")
    (tmp_path / "beta" / "model.yaml").write_text("[")
    wanted = {
        "drift_check__alpha": [["drift_check__alpha"], ["alpha"], {}],
        "retrain__gamma": [["retrain__gamma"], ["gamma"], {}],
        "retrain__a__b": [["retrain__a__b"], ["a__b"], {}],
        "drift_check__beta": [["drift_check__beta"], ["beta"], {}],
        "consume_retrain_triggers": [["consume_retrain_triggers"], [], {}],
        "join_log_files": [["join_log_files"], [], {}],
        "drift_check__absent": [[], [], {}],
        "somebody_elses": [[], [], {}],
    }
    env = {"HOMEOSTAT_MODELS": str(tmp_path), "HOMEOSTAT_TRIGGERS": QUEUE}
    assert json.loads(run_in_airflow(TASK.format(asked=list(wanted)), **env)) == wanted


OPTIONS = """
airflow:
  queue: gpu
  pool: large
  executor_config: {overrides: {cpu: "1024"}}
"""
WHERE = """
import json
from airflow.dag_processing.dagbag import DagBag
print(json.dumps({dag.dag_id: sorted({(t.queue, t.pool, json.dumps(t.executor_config)) for t in dag.tasks})
                  for dag in DagBag().dags.values() if "__" in dag.dag_id}))
"""


def test_every_task_of_a_model_runs_where_its_model_yaml_says(run_in_airflow, tmp_path):
    for name in ("plain", "special"):
        write_model(tmp_path, name)
    path = tmp_path / "special" / "model.yaml"
    path.write_text(path.read_text() + OPTIONS)
    found = json.loads(run_in_airflow(WHERE, HOMEOSTAT_MODELS=str(tmp_path)))
    for kind in ("drift_check", "retrain"):
        assert found[f"{kind}__special"] == [["gpu", "large", '{"overrides": {"cpu": "1024"}}']]
        assert found[f"{kind}__plain"] == [["default", "default_pool", "{}"]]


BROKEN = {
    "pod": "airflow: {executor_config: {pod_override: {spec: {}}}}\n",  # its provider is not installed here
    "date": "airflow: {executor_config: {since: 2026-01-01}}\n",
    "empty": "airflow: {pool: ''}\n",
    "ecs": "airflow: {queues: gpu}\n",
}


def test_a_model_whose_dags_cannot_be_built_shows_why_and_the_others_are_there(parse, tmp_path):
    for name, text in BROKEN.items():
        write_model(tmp_path, name)
        path = tmp_path / name / "model.yaml"
        path.write_text(path.read_text() + text)
    write_model(tmp_path, "good")
    (tmp_path / "binary").mkdir()
    (tmp_path / "binary" / "model.yaml").write_bytes(b"\xff\xfe")
    write_model(tmp_path / "team", "good_too")
    write_model(tmp_path / "team", "twice")
    write_model(tmp_path / "other", "twice")
    found = parse(HOMEOSTAT_MODELS=str(tmp_path))
    assert found["errors"] == {}
    assert found["dags"].pop("join_log_files")["tasks"] == ["join", "delete_old_monitoring"]
    healthy = {name for name, dag in found["dags"].items() if dag["tasks"]}
    assert healthy == {
        f"{kind}__{name}" for kind in ("drift_check", "retrain") for name in ("good", "good_too")
    }
    said = {
        "pod": "apache-airflow-providers-cncf-kubernetes",
        "date": "airflow.executor_config",
        "empty": "airflow.pool",
        "ecs": "did you mean 'queue'",
        "binary": "not UTF-8",
        "twice": "there 2 times",
    }
    for name, words in said.items():
        for kind in ("drift_check", "retrain"):
            dag = found["dags"][f"{kind}__{name}"]
            assert dag["tags"] == ["broken", "homeostat"]
            assert words in dag["doc"]
            assert str(tmp_path) in dag["doc"], "the file is named"


def test_the_forms_default_values_are_valid(run_in_airflow):
    code = """
import copy
from airflow.sdk.definitions.param import ParamsDict
from homeostat_airflow.drift_check_dag import HERE, _in_aws
from homeostat_airflow.retrain_dag import FORM
print(ParamsDict({**copy.deepcopy(FORM), "here": HERE, "aws": _in_aws("fraud", "acme")}).validate())
"""
    assert "'force': False" in run_in_airflow(code)


JOIN = """
import json
from datetime import timedelta
from homeostat.adapters import open_ledger, open_store
from homeostat.config import Settings
from homeostat.core.rollout import VersionRef, promote
from homeostat_airflow.operators.join_logs import JoinLogsOperator
import sys
sys.path.insert(0, {tests!r})
from log_to_join import T0, stored, write
settings = Settings.from_env()
ledger, store = open_ledger(settings.ledger), open_store(settings.store)
for number in range(3):
    write(store, sequence=number)
step = promote(ledger.read("m"), VersionRef("1", "1" * 64), T0, "first version")
ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="test", at=T0)
join = JoinLogsOperator(task_id="join")
print(json.dumps([join.execute({{}}), len(stored(store, "predictions")[1])]))
"""


def test_the_maintenance_joins_the_logs_of_the_models_in_the_ledger(run_in_airflow, tmp_path):
    write_model(tmp_path / "models", "m")
    env = {
        "HOMEOSTAT_MODELS": str(tmp_path / "models"),
        "HOMEOSTAT_STATE": str(tmp_path),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",  # an operator may be called without a task runner
    }
    code = JOIN.format(tests=str(Path(__file__).parents[1]))
    result, files = json.loads(run_in_airflow(code, **env))
    assert result == {"written": 2, "deleted": 0, "waiting": [], "failed": {}}
    assert files == 4
