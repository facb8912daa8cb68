"""Each service healthy, and with each fault that its check detects."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from doctor.conftest import write_model
from doctor.rewriting_proxy import Rewrite, rewriting
from homeostat.adapters.ledger_tables import LEASES, METADATA
from homeostat.core.rollout import VersionRef
from homeostat.doctor import local_checks
from homeostat.doctor.deployment import Deployment
from serving.gateway_harness import model_config


def now_in(delta):
    return lambda: datetime.now(UTC) + delta


def test_a_healthy_deployment_has_no_findings(deployment):
    found = deployment.check()
    assert {check.state for check in found} == {"ok", "skipped"}, found
    assert {check.name for check in found if check.state == "skipped"} == {"airflow", "aws"}
    assert {"store", "ledger", "mlflow", "gateway", "champion", "bundle", "serving", "last check"} <= {
        check.name for check in found if check.state == "ok"
    }


def test_checks_leave_nothing_behind(deployment, tmp_path):
    def all_files():
        return sorted(str(path) for path in tmp_path.rglob("*") if path.suffix != ".db-wal")

    before, revision = (
        all_files(),
        deployment.ports.ledger.read(deployment.config.name).revision,
    )
    deployment.check()
    assert [path for path in all_files() if path not in before] == []
    assert deployment.ports.ledger.read(deployment.config.name).revision == revision


def test_checks_create_no_store_and_no_ledger(deployment, tmp_path):
    nowhere = {
        "store": f"file://{tmp_path / 'none' / 'store'}",
        "ledger": f"sqlite:///{tmp_path / 'none' / 'l.db'}",
    }
    found = {check.name: check for check in deployment.check("store", "ledger", "champion", **nowhere)}
    assert found["store"].state == found["ledger"].state == "warning"
    assert found["champion"].state == "skipped"
    assert not (tmp_path / "none").exists()


def test_a_store_that_cannot_be_written_is_broken(deployment, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / ".partial").write_text("a file where the folder of unfinished writes belongs")
    found = deployment.one("store", store=f"file://{tmp_path / 'full'}")
    assert found.state == "broken"
    assert "cannot write" in found.sentence


def test_a_store_that_allows_overwrites_is_broken(deployment, monkeypatch):
    from homeostat.adapters.store_file import FileStore

    put = FileStore.put
    monkeypatch.setattr(FileStore, "put", lambda self, key, data, **_: put(self, key, data, overwrite=True))
    found = deployment.one("store")
    assert found.state == "broken"
    assert "was overwritten" in found.sentence


def test_a_ledger_without_its_tables_is_broken_and_no_tables_are_created(deployment, tmp_path):
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    engine = sa.create_engine(url)
    with engine.begin() as db:
        db.execute(sa.text("create table something_else (a int)"))
    found = {check.name: check for check in deployment.check("ledger", "champion", ledger=url)}
    assert found["ledger"].state == "broken"
    assert "homeostat_traffic" in found["ledger"].sentence
    assert found["champion"].state == "skipped"
    assert sa.inspect(engine).get_table_names() == ["something_else"]
    engine.dispose()


def test_a_ledger_in_postgresql_is_checked(deployment, postgres_url):
    schema = sa.create_engine(postgres_url)
    METADATA.create_all(schema)
    found = deployment.check("ledger", "clock", ledger=postgres_url)
    assert {check.state for check in found} == {"ok"}, found
    assert "ledger" in {check.about for check in found if check.name == "clock"}
    METADATA.drop_all(schema)
    schema.dispose()
    refused = deployment.one("ledger", ledger=postgres_url.replace("/homeostat", "/no_such_database"))
    assert refused.state == "broken"
    assert "no_such_database" in refused.sentence


def test_an_mlflow_of_another_version_than_the_requirements_is_a_warning(deployment, tmp_path):
    (tmp_path / "requirements.txt").write_text("mlflow==2.0.1\n")
    found = deployment.one("mlflow")
    assert found.state == "warning"
    assert "2.0.1" in found.sentence
    assert "mlflow==2.0.1" in found.remedy


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ((403, "text/plain", b"Invalid Host header"), "HTTP 403 Invalid Host"),
        ((200, "text/html", b"<html>"), "is not MLflow"),
    ],
)
def test_a_server_that_refuses_us_or_is_not_mlflow_is_broken(deployment, mlflow_server, response, text):
    with rewriting(mlflow_server, Rewrite(respond=lambda *_: response)) as url:
        found = {check.name: check for check in deployment.check("mlflow", "champion", tracking_uri=url)}
    assert found["mlflow"].state == "broken"
    assert text in found["mlflow"].sentence
    assert found["champion"].state == "skipped"


def test_an_alias_that_lags_behind_is_a_warning(deployment):
    deployment.ports.registry.set_alias(deployment.config.name, "champion", None)
    found = deployment.one("champion")
    assert found.state == "warning"
    assert "is not set" in found.sentence


def test_a_champion_that_was_deleted_in_mlflow_is_broken(deployment):
    from mlflow.tracking import MlflowClient

    MlflowClient(deployment.settings.tracking_uri).delete_model_version(
        deployment.config.name, deployment.champion.version
    )
    found = deployment.one("champion")
    assert found.state == "broken"
    assert "deleted" in found.sentence


def test_a_champion_whose_digest_differs_is_broken(deployment):
    deployment.ports.registry.tag(
        deployment.config.name, deployment.champion.version, {"homeostat.digest": "f" * 64}
    )
    assert deployment.one("champion").state == "broken"


def test_a_bundle_that_was_changed_or_lost_is_broken(deployment):
    key = f"bundles/{deployment.config.name}/{deployment.champion.digest}/model.skops"
    deployment.ports.store.put(key, b"something else", overwrite=True)
    changed = deployment.one("bundle")
    assert changed.state == "broken"
    assert "were changed after training" in changed.sentence
    deployment.ports.store.delete(key)
    lost = deployment.one("bundle")
    assert lost.state == "broken"
    assert "missing or incomplete" in lost.sentence


def test_a_degraded_gateway_is_a_warning_and_another_server_is_broken(deployment, mlflow_server):
    degraded = json.dumps({"status": "degraded", "problems": ["the store is unreachable"]}).encode()
    responses = {"/health": (200, "application/json", degraded)}
    with rewriting(
        deployment.settings.gateway, Rewrite(respond=lambda _, path, *__: responses.get(path))
    ) as url:
        found = deployment.one("gateway", gateway=url)
    assert found.state == "warning"
    assert "the store is unreachable" in found.sentence
    other = {check.name: check for check in deployment.check("gateway", "serving", gateway=mlflow_server)}
    assert other["gateway"].state == "broken"
    assert "not a gateway" in other["gateway"].sentence
    assert other["serving"].state == "skipped"


def test_a_gateway_that_serves_another_version_is_broken(deployment, tmp_path):
    new_model = write_model(tmp_path / "more", model_config(name="unknown-to-it"))
    ledger, now = deployment.ports.ledger, datetime.now(UTC)
    assert deployment.one("serving", models=[new_model]).state == "warning"  # it has no champion either
    traffic = replace(
        ledger.read(new_model.name),
        champion=VersionRef("1", deployment.champion.digest),
        promoted_at=now,
    )
    ledger.write(traffic, kind="promoted", reason="a test", by="test", at=now)
    unknown = deployment.one("serving", models=[new_model])
    assert unknown.state == "broken"
    assert "does not know this model" in unknown.sentence

    shown = {"models": [{"name": deployment.config.name, "loaded": {"champion": "7"}}]}
    responses = {"/models": (200, "application/json", json.dumps(shown).encode())}
    with rewriting(
        deployment.settings.gateway, Rewrite(respond=lambda _, path, *__: responses.get(path))
    ) as url:
        other = deployment.one("serving", gateway=url)
        assert other.state == "broken"
        assert "the gateway serves version 7, the ledger names version 1" in other.sentence
        shown["models"][0] |= {"loaded": {}, "load_errors": {"1": "its digest is wrong"}}
        responses["/models"] = (200, "application/json", json.dumps(shown).encode())
        none = deployment.one("serving", gateway=url)
    assert none.state == "broken"
    assert "its digest is wrong" in none.sentence


def test_types_that_only_one_side_trusts_are_named(deployment):
    found = deployment.one("trusted types")
    assert (found.state, found.sentence) == ("ok", "none added")
    found = deployment.one("trusted types", trusted_types=("a.B",))
    assert (found.state, found.sentence) == ("warning", "a.B is trusted here only")
    own = deployment.config.model_copy(update={"trusted_types": ("c.D",)})
    found = deployment.one("trusted types", models=[own], trusted_types=("a.B",))
    assert found.sentence == "a.B, c.D is trusted here only"
    assert "HOMEOSTAT_OVERRIDES" in found.remedy


def test_airflow_is_checked_by_its_health_or_else_by_its_last_drift_check(deployment):
    without_address = deployment.one("airflow")
    assert without_address.state == "skipped"
    last = f"its last recorded drift check was 15 min ago, of {deployment.config.name}"
    assert last in without_address.sentence

    parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
    states = {name: {"status": "healthy"} for name in parts}

    def respond(*_):
        return 200, "application/json", json.dumps(states).encode()

    with rewriting(deployment.settings.gateway, Rewrite(respond=respond)) as url:
        env = {"AIRFLOW__API__BASE_URL": url}
        assert deployment.one("airflow", env=env).state == "ok"
        states["triggerer"] = {"status": None}
        ill = deployment.one("airflow", env=env)
        assert (ill.state, ill.sentence) == ("warning", "triggerer: None")
        assert deployment.one("airflow", env=env, triggers="https://sqs/q.fifo").state == "broken"
        states["scheduler"] = {"status": "unhealthy"}
        assert deployment.one("airflow", env=env).state == "broken"
    assert (
        deployment.one("airflow", env={"AIRFLOW__API__BASE_URL": deployment.settings.gateway}).state
        == "broken"
    )


def test_three_periods_without_a_check_are_broken(deployment):
    assert deployment.one("last check", now=now_in(timedelta(hours=2))).state == "ok"
    silent = deployment.one("last check", now=now_in(timedelta(hours=4)))
    assert silent.state == "broken"
    assert silent.sentence.startswith("no drift check for 4 h")
    assert f"drift_check__{deployment.config.name}" in silent.remedy


def test_a_new_champion_has_three_periods_until_its_first_check(deployment, tmp_path):
    fresh = write_model(tmp_path / "more", model_config(name=f"{deployment.config.name}-fresh"))
    assert deployment.one("last check", models=[fresh]).state == "skipped"
    ledger, now = deployment.ports.ledger, datetime.now(UTC)
    traffic = replace(ledger.read(fresh.name), champion=VersionRef("1", "0" * 64), promoted_at=now)
    ledger.write(traffic, kind="promoted", reason="a test", by="test", at=now)
    assert "first check not due yet" in deployment.one("last check", models=[fresh]).sentence
    silent = deployment.one("last check", models=[fresh], now=now_in(timedelta(hours=5)))
    assert silent.state == "broken"


def test_a_lease_held_for_long_without_a_rollout_is_a_warning(deployment):
    name, now = deployment.config.name, datetime.now(UTC)
    deployment.ports.ledger.acquire_lease(name, "t1", "abc", now - timedelta(hours=1), timedelta(days=3))
    assert "has been running for" in deployment.one("retrain lease").sentence
    stuck = deployment.one("retrain lease", now=now_in(timedelta(hours=9)))
    assert stuck.state == "warning"
    assert "abc" in stuck.sentence
    assert f"retrain__{name}" in stuck.remedy
    engine = sa.create_engine(deployment.settings.ledger)
    with engine.begin() as db:
        db.execute(sa.update(LEASES).values(until=(now - timedelta(minutes=1)).isoformat()))
    engine.dispose()
    assert deployment.one("retrain lease").sentence == "no retrain is running"


def test_little_free_disk_space_is_reported(deployment, monkeypatch):
    for free, state in ((100 * 1024**2, "broken"), (1024**3, "warning"), (50 * 1024**3, "ok")):
        monkeypatch.setattr(
            local_checks.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(total=1024**4, free=free)
        )
        assert deployment.one("disk").state == state


def test_a_missing_or_short_control_token_is_a_warning(deployment):
    assert deployment.one("control token", control_token="").state == "warning"
    assert deployment.one("control token", control_token="1234").state == "warning"
    assert deployment.one("control token", control_token="x" * 32).state == "ok"


def test_missing_settings_of_a_model_are_broken(deployment, tmp_path):
    config = model_config(name="in-aws", monitor={"runs_on": "lambda"}, training={"runs_on": "ecs"})
    found = deployment.one("settings", models=[write_model(tmp_path / "aws", config)])
    assert found.state == "broken"
    for variable in ("HOMEOSTAT_TRIGGERS", "HOMEOSTAT_STORE", "HOMEOSTAT_ECS"):
        assert variable in found.sentence


def test_a_missing_pipeline_file_is_broken(deployment):
    (deployment.config.folder / "pipeline.py").unlink()
    found = deployment.one("model.yaml")
    assert found.state == "broken"
    assert "pipeline.py" in found.sentence


def test_the_default_clock_is_this_machines(deployment):
    before = datetime.now(UTC)
    assert before <= Deployment(deployment.settings).now() <= datetime.now(UTC)
