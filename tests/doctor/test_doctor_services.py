"""Each service found well, and found ill in the way that its check looks for."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from doctor.conftest import on_disk
from doctor.rewriting_proxy import Bend, bending
from homeostat.adapters.ledger_tables import LEASES, METADATA
from homeostat.core.rollout import VersionRef
from homeostat.doctor import local_checks as machine
from homeostat.doctor.deployment import Deployment
from serving.gateway_harness import model_config


def now_in(delta):
    return lambda: datetime.now(UTC) + delta


def test_a_deployment_in_order_is_found_well(patient):
    found = patient.examined()
    assert {check.state for check in found} == {"ok", "skipped"}, found
    assert {check.name for check in found if check.state == "skipped"} == {"airflow", "aws"}
    assert {"store", "ledger", "mlflow", "gateway", "champion", "bundle", "serving", "last check"} <= {
        check.name for check in found if check.state == "ok"
    }


def test_nothing_is_left_behind(patient, tmp_path):
    def everything():
        return sorted(str(path) for path in tmp_path.rglob("*") if path.suffix != ".db-wal")

    before, revision = everything(), patient.ports.ledger.read(patient.config.name).revision
    patient.examined()
    assert [path for path in everything() if path not in before] == []
    assert patient.ports.ledger.read(patient.config.name).revision == revision


def test_a_deployment_that_was_never_used_is_not_made_by_being_looked_at(patient, tmp_path):
    nowhere = {
        "store": f"file://{tmp_path / 'none' / 'store'}",
        "ledger": f"sqlite:///{tmp_path / 'none' / 'l.db'}",
    }
    found = {check.name: check for check in patient.examined("store", "ledger", "champion", **nowhere)}
    assert found["store"].state == found["ledger"].state == "warning"
    assert found["champion"].state == "skipped"
    assert not (tmp_path / "none").exists()


def test_a_store_that_cannot_be_written_is_broken(patient, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / ".partial").write_text("where unfinished writes would go")
    found = patient.one("store", store=f"file://{tmp_path / 'full'}")
    assert found.state == "broken"
    assert "cannot write" in found.sentence


def test_a_store_that_lets_a_second_writer_in_is_broken(patient, monkeypatch):
    from homeostat.adapters.store_file import FileStore

    put = FileStore.put
    monkeypatch.setattr(FileStore, "put", lambda self, key, data, **_: put(self, key, data, overwrite=True))
    found = patient.one("store")
    assert found.state == "broken"
    assert "took other bytes" in found.sentence


def test_a_ledger_without_its_tables_is_broken_and_gets_none(patient, tmp_path):
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    engine = sa.create_engine(url)
    with engine.begin() as db:
        db.execute(sa.text("create table something_else (a int)"))
    found = {check.name: check for check in patient.examined("ledger", "champion", ledger=url)}
    assert found["ledger"].state == "broken"
    assert "homeostat_traffic" in found["ledger"].sentence
    assert found["champion"].state == "skipped"
    assert sa.inspect(engine).get_table_names() == ["something_else"]
    engine.dispose()


def test_a_ledger_in_postgresql(patient, postgres_url):
    schema = sa.create_engine(postgres_url)
    METADATA.create_all(schema)
    found = patient.examined("ledger", "clock", ledger=postgres_url)
    assert {check.state for check in found} == {"ok"}, found
    assert "ledger" in {check.about for check in found if check.name == "clock"}
    METADATA.drop_all(schema)
    schema.dispose()
    refused = patient.one("ledger", ledger=postgres_url.replace("/homeostat", "/no_such_database"))
    assert refused.state == "broken"
    assert "no_such_database" in refused.sentence


def test_an_mlflow_of_another_version_than_the_requirements_is_a_warning(patient, tmp_path):
    (tmp_path / "requirements.txt").write_text("mlflow==2.0.1\n")
    found = patient.one("mlflow")
    assert found.state == "warning"
    assert "2.0.1" in found.sentence
    assert "mlflow==2.0.1" in found.cure


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((403, "text/plain", b"Invalid Host header"), "refuses (403): Invalid Host"),
        ((200, "text/html", b"<html>"), "no MLflow"),
    ],
)
def test_what_answers_but_is_no_mlflow_for_us_is_broken(patient, mlflow_server, answer, said):
    with bending(mlflow_server, Bend(instead=lambda *_: answer)) as url:
        found = {check.name: check for check in patient.examined("mlflow", "champion", tracking_uri=url)}
    assert found["mlflow"].state == "broken"
    assert said in found["mlflow"].sentence
    assert found["champion"].state == "skipped"


def test_an_alias_that_lags_behind_is_a_warning(patient):
    patient.ports.registry.set_alias(patient.config.name, "champion", None)
    found = patient.one("champion")
    assert found.state == "warning"
    assert "names nobody" in found.sentence


def test_a_champion_that_was_deleted_in_mlflow_is_broken(patient):
    from mlflow.tracking import MlflowClient

    MlflowClient(patient.settings.tracking_uri).delete_model_version(
        patient.config.name, patient.champion.version
    )
    found = patient.one("champion")
    assert found.state == "broken"
    assert "deleted" in found.sentence


def test_a_champion_whose_digest_differs_is_broken(patient):
    patient.ports.registry.tag(patient.config.name, patient.champion.version, {"homeostat.digest": "f" * 64})
    assert patient.one("champion").state == "broken"


def test_a_bundle_that_was_changed_or_lost_is_broken(patient):
    key = f"bundles/{patient.config.name}/{patient.champion.digest}/model.skops"
    patient.ports.store.put(key, b"something else", overwrite=True)
    changed = patient.one("bundle")
    assert changed.state == "broken"
    assert "changed since" in changed.sentence
    patient.ports.store.delete(key)
    lost = patient.one("bundle")
    assert lost.state == "broken"
    assert "not in the store" in lost.sentence


def test_a_gateway_with_troubles_is_a_warning_and_one_that_is_no_gateway_is_broken(patient, mlflow_server):
    degraded = json.dumps({"status": "degraded", "problems": ["the store is away"]}).encode()
    answers = {"/health": (200, "application/json", degraded)}
    with bending(patient.settings.gateway, Bend(instead=lambda _, path, *__: answers.get(path))) as url:
        found = patient.one("gateway", gateway=url)
    assert found.state == "warning"
    assert "the store is away" in found.sentence
    other = {check.name: check for check in patient.examined("gateway", "serving", gateway=mlflow_server)}
    assert other["gateway"].state == "broken"
    assert "no gateway" in other["gateway"].sentence
    assert other["serving"].state == "skipped"


def test_a_gateway_that_serves_another_version_is_broken(patient, tmp_path):
    stranger = on_disk(tmp_path / "more", model_config(name="unknown-to-it"))
    ledger, now = patient.ports.ledger, datetime.now(UTC)
    assert patient.one("serving", models=[stranger]).state == "warning"  # it has no champion either
    traffic = replace(
        ledger.read(stranger.name), champion=VersionRef("1", patient.champion.digest), promoted_at=now
    )
    ledger.write(traffic, kind="promoted", reason="a test", by="test", at=now)
    unknown = patient.one("serving", models=[stranger])
    assert unknown.state == "broken"
    assert "does not know this model" in unknown.sentence

    shown = {"models": [{"name": patient.config.name, "loaded": {"champion": "7"}}]}
    answers = {"/models": (200, "application/json", json.dumps(shown).encode())}
    with bending(patient.settings.gateway, Bend(instead=lambda _, path, *__: answers.get(path))) as url:
        other = patient.one("serving", gateway=url)
        assert other.state == "broken"
        assert "version 7 serves, and the ledger says version 1" in other.sentence
        shown["models"][0] |= {"loaded": {}, "load_errors": {"1": "its digest is wrong"}}
        answers["/models"] = (200, "application/json", json.dumps(shown).encode())
        none = patient.one("serving", gateway=url)
    assert none.state == "broken"
    assert "its digest is wrong" in none.sentence


def test_airflow_is_asked_where_its_address_is_known_and_judged_by_its_traces_elsewhere(patient):
    traces = patient.one("airflow")
    assert traces.state == "skipped"
    assert f"its last check on record, of {patient.config.name}, is of 15 min ago" in traces.sentence

    parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
    states = {name: {"status": "healthy"} for name in parts}

    def answer(*_):
        return 200, "application/json", json.dumps(states).encode()

    with bending(patient.settings.gateway, Bend(instead=answer)) as url:
        env = {"AIRFLOW__API__BASE_URL": url}
        assert patient.one("airflow", env=env).state == "ok"
        states["triggerer"] = {"status": None}
        ill = patient.one("airflow", env=env)
        assert (ill.state, ill.sentence) == ("warning", "triggerer: None")
        assert patient.one("airflow", env=env, triggers="https://sqs/q.fifo").state == "broken"
        states["scheduler"] = {"status": "unhealthy"}
        assert patient.one("airflow", env=env).state == "broken"
    assert patient.one("airflow", env={"AIRFLOW__API__BASE_URL": patient.settings.gateway}).state == "broken"


def test_three_periods_without_a_check_are_silence(patient):
    assert patient.one("last check", now=now_in(timedelta(hours=2))).state == "ok"
    silent = patient.one("last check", now=now_in(timedelta(hours=4)))
    assert silent.state == "broken"
    assert silent.sentence.startswith("silent for 4 h")
    assert f"drift_check__{patient.config.name}" in silent.cure


def test_a_fresh_champion_is_not_called_silent_before_its_first_check(patient, tmp_path):
    fresh = on_disk(tmp_path / "more", model_config(name=f"{patient.config.name}-fresh"))
    assert patient.one("last check", models=[fresh]).state == "skipped"
    ledger, now = patient.ports.ledger, datetime.now(UTC)
    traffic = replace(ledger.read(fresh.name), champion=VersionRef("1", "0" * 64), promoted_at=now)
    ledger.write(traffic, kind="promoted", reason="a test", by="test", at=now)
    assert "yet to come" in patient.one("last check", models=[fresh]).sentence
    silent = patient.one("last check", models=[fresh], now=now_in(timedelta(hours=5)))
    assert silent.state == "broken"


def test_a_lease_that_is_held_for_long_without_a_rollout_is_a_warning(patient):
    name, now = patient.config.name, datetime.now(UTC)
    patient.ports.ledger.acquire_lease(name, "t1", "abc", now - timedelta(hours=1), timedelta(days=3))
    assert "under way" in patient.one("retrain").sentence
    stuck = patient.one("retrain", now=now_in(timedelta(hours=9)))
    assert stuck.state == "warning"
    assert "abc" in stuck.sentence
    assert f"retrain__{name}" in stuck.cure
    engine = sa.create_engine(patient.settings.ledger)
    with engine.begin() as db:
        db.execute(sa.update(LEASES).values(until=(now - timedelta(minutes=1)).isoformat()))
    engine.dispose()
    assert patient.one("retrain").sentence == "nobody is retraining it"


def test_a_state_folder_without_room_is_told(patient, monkeypatch):
    for free, state in ((100 * 1024**2, "broken"), (1024**3, "warning"), (50 * 1024**3, "ok")):
        monkeypatch.setattr(
            machine.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(total=1024**4, free=free)
        )
        assert patient.one("disk").state == state


def test_a_control_token_that_is_missing_or_short_is_a_warning(patient):
    assert patient.one("control token", control_token="").state == "warning"
    assert patient.one("control token", control_token="1234").state == "warning"
    assert patient.one("control token", control_token="x" * 32).state == "ok"


def test_settings_that_do_not_give_what_a_model_asks_for_are_broken(patient, tmp_path):
    config = model_config(name="in-aws", monitor={"runs_on": "lambda"}, training={"runs_on": "ecs"})
    found = patient.one("settings", models=[on_disk(tmp_path / "aws", config)])
    assert found.state == "broken"
    for variable in ("HOMEOSTAT_TRIGGERS", "HOMEOSTAT_STORE", "HOMEOSTAT_ECS"):
        assert variable in found.sentence


def test_a_pipeline_that_is_not_there_is_broken(patient):
    (patient.config.folder / "pipeline.py").unlink()
    found = patient.one("model.yaml")
    assert found.state == "broken"
    assert "pipeline.py" in found.sentence


def test_the_clock_of_this_machine_is_the_default(patient):
    before = datetime.now(UTC)
    assert before <= Deployment(patient.settings).now() <= datetime.now(UTC)
