"""``homeostat_dags`` with names and folders of somebody's own, and the connection type Homeostat."""

import json
from types import SimpleNamespace

import pytest

from homeostat.adapters import open_store
from homeostat.adapters.models_folder import local_models
from homeostat.config.errors import ConfigError
from homeostat_airflow.connection import variables_of
from homeostat_airflow.provider import get_provider_info

MODEL = """
name: {name}
task: classification
pipeline: pipeline.py:build
source: {{kind: csv, uri: rows.csv}}
schema:
  label: {{name: y}}
  features: {{x: {{type: number}}}}
monitor: {{every: 15m}}
"""
PARSE = """
import json
from homeostat_airflow import homeostat_dags
dags = homeostat_dags({arguments})
print(json.dumps({{name: {{
    "tags": sorted(dag.tags), "timetable": dag.timetable.__class__.__name__,
    "cron": getattr(dag.timetable, "expression", None),
    "pools": sorted({{task.pool for task in dag.tasks}}),
    "owners": sorted({{task.owner for task in dag.tasks}}),
    "models": sorted({{getattr(task, "models", "") for task in dag.tasks}}),
    "assets": sorted(asset.uri for task in dag.tasks for asset in task.outlets),
}} for name, dag in dags.items()}}))
"""


def write_models(folder, *names):
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "model.yaml").write_text(MODEL.format(name=name))


@pytest.fixture
def dags_of(run_in_airflow):
    def parse(arguments, **env):
        return json.loads(run_in_airflow(PARSE.format(arguments=arguments), **env))

    return parse


def test_nothing_of_the_platforms_own_names_is_taken(dags_of, tmp_path):
    write_models(tmp_path, "fraud", "churn")
    found = dags_of(
        f"{str(tmp_path)!r}, prefix='team_', tags=['risk'], pool={{'fraud': 'big'}}, owner='ann', "
        "schedule={'fraud': '5 4 * * *', 'churn': None}"
    )
    assert set(found) == {"team_join_log_files"} | {
        f"team_{kind}__{name}" for kind in ("drift_check", "retrain") for name in ("fraud", "churn")
    }
    check = found["team_drift_check__fraud"]
    assert (check["tags"], check["cron"]) == (["fraud", "risk"], "5 4 * * *")
    assert check["assets"] == ["homeostat://team_fraud/drift"]
    assert found["team_drift_check__churn"]["timetable"] == "NullTimetable"
    assert (check["pools"], found["team_retrain__churn"]["pools"]) == (["big"], ["default_pool"])
    assert {owner for dag in found.values() for owner in dag["owners"]} == {"ann"}
    assert {folder for dag in found.values() for folder in dag["models"]} == {str(tmp_path)}


def test_without_options_the_schedule_is_that_of_model_yaml(dags_of, tmp_path):
    write_models(tmp_path, "fraud")
    found = dags_of("", HOMEOSTAT_MODELS=str(tmp_path))
    assert set(found) == {"drift_check__fraud", "retrain__fraud", "join_log_files"}
    assert set(dags_of("maintenance=False", HOMEOSTAT_MODELS=str(tmp_path))) == set(found) - {
        "join_log_files"
    }
    assert found["drift_check__fraud"]["cron"] == "10-59/15 * * * *", "at the minute of this name"
    assert found["drift_check__fraud"]["tags"] == ["fraud", "homeostat"]


def test_an_s3_prefix_is_copied_and_follows_the_bucket(s3_server, tmp_path):
    where = f"s3://{s3_server.bucket}/models-of-a-test"
    store = open_store(where)
    store.put("fraud/model.yaml", b"name: fraud\n")
    store.put("fraud/pipeline.py", b"one = 1\n")
    folder = local_models(where, tmp_path)
    assert (folder / "fraud" / "pipeline.py").read_bytes() == b"one = 1\n"
    store.put("fraud/pipeline.py", b"two = 2\n", overwrite=True)
    store.delete("fraud/model.yaml")
    assert local_models(where, tmp_path) == folder
    assert [path.name for path in folder.rglob("*.*")] == ["pipeline.py"]
    assert (folder / "fraud" / "pipeline.py").read_bytes() == b"two = 2\n"
    assert tmp_path.joinpath(folder.name) == folder


def test_an_s3_prefix_makes_the_dags_and_each_task_has_its_own_copy(
    dags_of, run_in_airflow, s3_server, tmp_path
):
    where = f"s3://{s3_server.bucket}/models-of-dags"
    write_models(tmp_path, "fraud")
    store = open_store(where)
    store.put("fraud/model.yaml", (tmp_path / "fraud/model.yaml").read_bytes())
    store.put("fraud/pipeline.py", b"def build(): ...\n")
    found = dags_of(f"{where!r}", HOMEOSTAT_STATE=str(tmp_path / "parser"))
    assert set(found) == {"drift_check__fraud", "retrain__fraud", "join_log_files"}
    assert {folder for dag in found.values() for folder in dag["models"]} == {where}
    code = f"""
from homeostat_airflow.connection import read_settings
settings = read_settings(models={where!r})
print(settings.models.parent, *settings.model_names(), (settings.models / "fraud/pipeline.py").read_text())
"""
    said = run_in_airflow(code, HOMEOSTAT_STATE=str(tmp_path / "worker"))
    assert said == f"{tmp_path}/worker/models fraud def build(): ..."


BUNDLE = """
from pathlib import Path
from homeostat_airflow import homeostat_dags
globals().update(homeostat_dags(Path(__file__).parent / "models"))
"""
PARSE_BUNDLE = """
import json
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag
bundle = DagBundlesManager().get_bundle("mine")
bundle.initialize()
bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
found = {name: sorted({task.models for task in dag.tasks if getattr(task, "models", "")})
         for name, dag in bag.dags.items()}
print(json.dumps([found, list(bag.import_errors.values())]))
"""


@pytest.mark.parametrize("version", ["one", "two"])
def test_a_dag_bundle_has_its_models_beside_the_file_wherever_it_lies(run_in_airflow, tmp_path, version):
    folder = tmp_path / "versions" / version
    write_models(folder / "models", "fraud")
    (folder / "fraud.py").write_text(BUNDLE)
    bundles = [
        {
            "name": "mine",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(folder)},
        }
    ]
    config = {"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles)}
    found, errors = json.loads(run_in_airflow(PARSE_BUNDLE, **config))
    assert errors == []
    names = ("drift_check__fraud", "retrain__fraud", "join_log_files")
    assert found == {name: [str(folder / "models")] for name in names}


@pytest.mark.parametrize("location", ["gs://bucket/models", "/no/such/folder"])
def test_a_folder_that_cannot_be_read_is_named(location, tmp_path):
    with pytest.raises(ConfigError, match=location):
        local_models(location, tmp_path)


def test_a_prefix_without_files_is_named(s3_server, tmp_path):
    with pytest.raises(ConfigError, match="no file below s3://"):
        local_models(f"s3://{s3_server.bucket}/nothing-here", tmp_path)


@pytest.mark.parametrize(
    ("host", "schema", "port", "address"),
    [
        ("http://gateway:8000", "", None, "http://gateway:8000"),
        ("gateway", "", 8000, "http://gateway:8000"),
        ("gateway", "https", None, "https://gateway"),
    ],
)
def test_a_connection_stands_for_variables_and_empty_fields_for_none(host, schema, port, address):
    connection = SimpleNamespace(
        host=host,
        schema=schema,
        port=port,
        password="secret",
        extra_dejson={
            "ledger": "sqlite:////x/ledger.db",
            "mlflow": "",
            "store": None,
            "mlflow_username": "ann",
        },
    )
    assert variables_of(connection) == {
        "HOMEOSTAT_GATEWAY": address,
        "HOMEOSTAT_CONTROL_TOKEN": "secret",
        "HOMEOSTAT_LEDGER": "sqlite:////x/ledger.db",
        "MLFLOW_TRACKING_USERNAME": "ann",
    }


def test_the_provider_is_described_as_airflows_schema_wants_it_and_its_classes_exist(run_in_airflow):
    code = """
import json, jsonschema
from importlib.resources import files
from airflow.sdk._shared.module_loading import import_string
from homeostat_airflow.provider import get_provider_info
info = get_provider_info()
jsonschema.validate(info, json.loads(files("airflow").joinpath("provider_info.schema.json").read_text()))
names = [*info["notifications"], *info["extra-links"]]
names += [each["hook-class-name"] for each in info["connection-types"]]
names += [each["handler"] for each in info["asset-uris"]]
print(json.dumps([import_string(name).__name__ for name in names]))
"""
    assert json.loads(run_in_airflow(code)) == [
        "HomeostatNotifier",
        "MLflowLink",
        "HealthLink",
        "HomeostatHook",
        "sanitize",
    ]


def test_reading_the_description_imports_no_airflow(run_in_airflow):
    code = """
import sys
from homeostat_airflow.provider import get_provider_info
get_provider_info()
print("airflow" in sys.modules)
"""
    assert run_in_airflow(code) == "False"
    assert get_provider_info()["package-name"] == "homeostat"


def test_a_connection_of_another_name_must_exist(run_in_airflow):
    code = """
from homeostat_airflow.connection import read_settings
from homeostat.config.errors import ConfigError
print(read_settings("homeostat_default").tracking_uri)
try:
    read_settings("mine")
except ConfigError as error:
    print(str(error)[:34])
"""
    assert run_in_airflow(code) == "Airflow has no connection 'mine':"


def test_a_connection_goes_over_the_environment(run_in_airflow):
    code = """
import os
from homeostat_airflow.connection import read_settings
settings = read_settings("mine")
print(settings.tracking_uri, settings.gateway, settings.store, os.environ["MLFLOW_TRACKING_USERNAME"])
"""
    connection = {
        "conn_type": "homeostat",
        "host": "http://gateway:8000",
        "extra": {"mlflow": "https://mlflow.example", "mlflow_username": "ann"},
    }
    env = {
        "AIRFLOW_CONN_MINE": json.dumps(connection),
        "MLFLOW_TRACKING_URI": "http://other",
        "HOMEOSTAT_STORE": "file:///x",
    }
    assert run_in_airflow(code, **env).split() == [
        "https://mlflow.example",
        "http://gateway:8000",
        "file:///x",
        "ann",
    ]
