"""The drift check of any table in anybody's DAG, and the examples of docs/existing-airflow.md."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "existing-airflow.md").read_text(encoding="utf-8")
BLOCKS = [
    re.sub(r"^   ", "", block, flags=re.MULTILINE) if block.startswith("   ") else block
    for block in re.findall(r"^ *```python\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
]
FILE = """
from datetime import datetime
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
from homeostat_airflow.operators import TableDriftOperator

for current, choice in {cases}:
    with DAG(f"{{current}}_{{choice}}", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
        TableDriftOperator(
            task_id="compare",
            reference="{folder}/january.csv",
            current="{folder}/{{{{ params.name }}}}.parquet",
            html="{folder}/{{{{ params.name }}}}.html",
            on_drift=choice,
            params={{"name": current}},
        ) >> EmptyOperator(task_id="after")
    globals()[dag.dag_id] = dag
"""
RUN = """
import json
from airflow.dag_processing.dagbag import DagBag
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select
found = {}
for name, dag in DagBag().dags.items():
    run = {"dag_id": name, "run_id": dag.test().run_id}
    with create_session() as session:
        tasks = session.scalars(select(TaskInstance).filter_by(**run)).all()
        values = {each.key: each.value for each in session.scalars(select(XComModel).filter_by(**run))}
        found[name] = [{ti.task_id: str(ti.state) for ti in tasks}, values]
print(json.dumps(found))
"""
CASES = {
    ("same", "fail"): ("success", "success"),
    ("moved", "fail"): ("failed", "upstream_failed"),
    ("moved", "skip"): ("skipped", "skipped"),
    ("moved", "pass"): ("success", "success"),
}


def test_a_table_that_drifted_does_what_was_chosen(run_in_airflow, tmp_path):
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"amount": rng.normal(size=500), "segment": rng.choice(["s", "m"], 500)})
    rows.to_csv(tmp_path / "january.csv", index=False)
    rows.to_parquet(tmp_path / "same.parquet")
    rows.assign(amount=rows["amount"] + 2).to_parquet(tmp_path / "moved.parquet")
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "tables.py").write_text(FILE.format(folder=tmp_path, cases=list(CASES)))
    found = json.loads(run_in_airflow(RUN, AIRFLOW__CORE__DAGS_FOLDER=str(dags)))
    for (current, choice), (compare, after) in CASES.items():
        states, values = found[f"{current}_{choice}"]
        assert states == {"compare": compare, "after": after}
        result = values.get("return_value") or values["drift"]
        result = json.loads(result) if isinstance(result, str) else result
        assert result["verdict"] == ("alert" if current == "moved" else "pass")
        assert result["columns"] == (["amount"] if current == "moved" else [])
        assert result["rows"] == {"reference": 500, "current": 500}
        assert (tmp_path / f"{current}.html").read_text().startswith("<!")


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_of_the_page_is_a_dag_file(run_in_airflow, tmp_path, number):
    models = tmp_path / "models"
    models.mkdir()
    file = tmp_path / "dags" / "example.py"
    file.parent.mkdir()
    file.write_text(BLOCKS[number].replace("/opt/models", str(models)))
    code = "from airflow.dag_processing.dagbag import DagBag; print(DagBag().import_errors)"
    assert run_in_airflow(code, AIRFLOW__CORE__DAGS_FOLDER=str(file.parent)) == "{}"


def test_the_page_has_the_examples():
    assert len(BLOCKS) == 5
