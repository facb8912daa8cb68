import ast
import stat
from dataclasses import fields, replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from homeostat.config import Settings
from homeostat.config.errors import ConfigError
from homeostat.dev_stack.airflow_settings import read_airflow_settings
from homeostat.dev_stack.environment import (
    Ports,
    local_settings,
    platform_env,
    settings_env,
    write_dag_file,
)
from homeostat.dev_stack.secrets_file import load_secrets, write_passwords

PORTS = Ports(airflow=1, mlflow=2, gateway=3, task_logs=4)


def test_settings_survive_a_round_trip_through_the_environment(tmp_path):
    given = Settings.from_env(
        {
            "HOMEOSTAT_STATE": str(tmp_path),
            "HOMEOSTAT_TRUSTED_TYPES": "a.B,c.D",
            "HOMEOSTAT_OVERRIDES": "x.yaml",
        }
    )
    assert Settings.from_env(settings_env(given)) == given


def test_every_setting_has_an_environment_variable():
    documented = [
        line.split()[0] for line in (Settings.__doc__ or "").splitlines() if line.strip()[:5].isupper()
    ]
    names = set(settings_env(Settings.from_env({})))
    assert len(names) == len(fields(Settings))
    assert names == set(documented)


def test_services_get_the_addresses_of_the_others(tmp_path):
    secrets = load_secrets(tmp_path / "secrets.json")
    settings = local_settings(Settings.from_env({"HOMEOSTAT_STATE": str(tmp_path)}), PORTS, secrets)
    env = platform_env(settings, PORTS, secrets, {"PATH": "/bin"})
    assert env["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:2"
    assert env["HOMEOSTAT_GATEWAY"] == "http://127.0.0.1:3"
    assert env["HOMEOSTAT_CONTROL_TOKEN"] == secrets.control_token
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:1/execution/"
    assert env["PYTHONPATH"].startswith(str(settings.home / "include"))


def test_an_installed_package_gets_the_checkouts_dag_file(tmp_path):
    secrets = load_secrets(tmp_path / "secrets.json")
    given = Settings.from_env({"HOMEOSTAT_HOME": str(tmp_path), "HOMEOSTAT_STATE": str(tmp_path / "state")})
    settings = local_settings(given, PORTS, secrets)
    write_dag_file(settings)
    folder = Path(platform_env(settings, PORTS, secrets, {})["AIRFLOW__CORE__DAGS_FOLDER"])
    [file] = folder.iterdir()
    theirs = ast.parse((Path(__file__).parents[2] / "dags" / file.name).read_text())
    _docstring, *statements = theirs.body
    assert ast.unparse(statements) == ast.unparse(ast.parse(file.read_text()).body)


def test_a_project_keeps_its_own_dag_files(tmp_path):
    secrets = load_secrets(tmp_path / "secrets.json")
    (tmp_path / "dags").mkdir()
    settings = replace(Settings.from_env({"HOMEOSTAT_STATE": str(tmp_path / "state")}), home=tmp_path)
    write_dag_file(settings)
    env = platform_env(settings, PORTS, secrets, {})
    assert env["AIRFLOW__CORE__DAGS_FOLDER"] == str(tmp_path / "dags")
    assert not (tmp_path / "state").exists()
    assert list((tmp_path / "dags").iterdir()) == []


def test_user_variables_override_preferences_but_not_addresses(tmp_path):
    secrets = load_secrets(tmp_path / "secrets.json")
    settings = local_settings(Settings.from_env({"HOMEOSTAT_STATE": str(tmp_path)}), PORTS, secrets)
    base = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://u@h/airflow",
        "AIRFLOW__CORE__PARALLELISM": "16",
        "AIRFLOW__API__PORT": "80",
    }
    env = platform_env(settings, PORTS, secrets, base)
    assert env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == base["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert env["AIRFLOW__CORE__PARALLELISM"] == "16"
    assert env["AIRFLOW__API__PORT"] == "1"


def test_secrets_are_generated_once_and_readable_by_the_owner_only(tmp_path):
    path = tmp_path / "secrets.json"
    first = load_secrets(path)
    assert load_secrets(path) == first
    write_passwords(tmp_path / "passwords.json", first)
    for file in (path, tmp_path / "passwords.json"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_damaged_secrets_file_is_named_with_the_fix(tmp_path):
    path = tmp_path / "secrets.json"
    path.write_text('{"password": "x"')
    with pytest.raises(ConfigError, match=r"secrets\.json.*Delete the file"):
        load_secrets(path)


def test_blank_entries_of_airflow_settings_are_ignored(tmp_path):
    path = tmp_path / "airflow_settings.yaml"
    path.write_text(
        """
airflow:
  connections:
    - conn_id:
      conn_type:
    - {conn_id: alerts, conn_type: apprise, conn_host: , conn_extra: {config: []}}
    - {conn_id: warehouse, conn_uri: "postgres://h/db"}
  pools:
    - {pool_name: training, pool_slot: 2}
  variables:
    - {variable_name: region, variable_value: eu}
    - {variable_name: , variable_value: }
"""
    )
    assert read_airflow_settings(path) == {
        "connections": {
            "alerts": {"conn_type": "apprise", "extra": {"config": []}},
            "warehouse": "postgres://h/db",
        },
        "pools": {"training": {"slots": 2, "description": "", "include_deferred": False}},
        "variables": {"region": "eu"},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("airflow: [", "not YAML"),
        ("- a", "expected a mapping"),
        ("airflow: {pools: [{pool_slot: 1}]}", "an entry without 'pool_name'"),
    ],
)
def test_a_malformed_airflow_settings_file_is_named(tmp_path, text, said):
    path = tmp_path / "airflow_settings.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"airflow_settings.yaml: .*{said}"):
        read_airflow_settings(path)


def test_without_an_airflow_settings_file_nothing_is_imported(tmp_path):
    assert read_airflow_settings(tmp_path / "none.yaml") == {"connections": {}, "pools": {}, "variables": {}}


def test_airflow_waits_a_minute_for_its_locked_database(tmp_path):
    secrets = load_secrets(tmp_path / "secrets.json")
    settings = local_settings(Settings.from_env({"HOMEOSTAT_STATE": str(tmp_path)}), PORTS, secrets)
    url = platform_env(settings, PORTS, secrets, {})["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    Path(sa.make_url(url).database).parent.mkdir(parents=True, exist_ok=True)
    with sa.create_engine(url).connect() as database:
        assert database.exec_driver_sql("PRAGMA busy_timeout").scalar() == 60_000
