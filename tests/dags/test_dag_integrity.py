"""Every model has two DAGs; they parse quickly and import no heavy library."""

import json
import shutil

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
    assert len(found["dags"]) == 100
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
