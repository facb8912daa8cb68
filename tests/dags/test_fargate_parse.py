"""Models trained on ECS: their DAGs import no heavy library, and Amazon's provider only when needed."""

import json

import pytest

PARSE = """
import json, sys
import airflow.providers.standard.operators.python, airflow.providers.apprise
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
provider = "airflow.providers.amazon.aws.operators.ecs" in sys.modules
banned = ("mlflow", "sklearn", "great_expectations", "pandas", "scipy", "matplotlib")
heavy = [m for m in banned if m in sys.modules]
from airflow.serialization.serialized_objects import DagSerialization
stored = {name: json.loads(json.dumps(DagSerialization.to_dict(dag))) for name, dag in bag.dags.items()}
train = {
    name: next(t["__var"] for t in dag["dag"]["tasks"] if t["__var"]["task_id"] == "train")["task_type"]
    for name, dag in stored.items()
    if name.startswith("retrain")
}
print(json.dumps({"errors": bag.import_errors, "heavy": heavy, "provider": provider,
                  "train": train, "text": json.dumps(stored)}))
"""

MODEL = """
name: {name}
task: classification
pipeline: pipeline.py:build
source: {{kind: csv, uri: rows.csv}}
schema:
  label: {{name: y}}
  features: {{x: {{type: number}}}}
training: {{runs_on: {runs_on}}}
"""


@pytest.fixture
def parse(run_in_airflow, tmp_path):
    def call(**models):
        for name, runs_on in models.items():
            (tmp_path / name).mkdir()
            (tmp_path / name / "model.yaml").write_text(MODEL.format(name=name, runs_on=runs_on))
        settings = {"cluster": "c7", "task_definition": "t7", "subnets": ["s7"], "security_groups": ["g7"]}
        return json.loads(
            run_in_airflow(PARSE, HOMEOSTAT_MODELS=str(tmp_path), HOMEOSTAT_ECS=json.dumps(settings))
        )

    return call


@pytest.mark.slow
def test_models_trained_on_ecs_import_no_heavy_library_and_store_no_cluster(parse):
    found = parse(**{f"model_{n:02d}": "ecs" if n % 2 else "airflow" for n in range(4)})
    assert found["errors"] == {}
    assert found["heavy"] == []
    assert found["provider"]
    assert found["train"]["retrain__model_01"] == "FargateTrainOperator"
    assert found["train"]["retrain__model_02"] == "TrainOperator"
    assert "c7" not in found["text"], "the cluster is read at run time and not stored with the DAG"


@pytest.mark.slow
def test_without_a_model_on_ecs_the_provider_is_not_imported(parse):
    found = parse(one="airflow")
    assert (found["errors"], found["provider"]) == ({}, False)
