"""docker-compose.yml is valid for Debian's docker-compose, and its services fit together."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeostat.config import Settings
from homeostat.dev_stack.environment import PRELOADED, settings_env

ROOT = Path(__file__).resolve().parents[2]
AIRFLOW = ("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")
GATEWAYS = ("gateway-a", "gateway-b")


def make_env(folder: Path) -> Path:
    subprocess.run(
        [sys.executable, ROOT / "infra/compose/make_env.py", folder / ".env"], check=True, capture_output=True
    )
    return folder / ".env"


@pytest.fixture(scope="module")
def composed(tmp_path_factory) -> dict[str, Any]:
    """Return the resolved file from docker-compose."""
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed (apt-get install docker-compose)")
    return resolved(tmp_path_factory.mktemp("compose"))


def resolved(folder: Path, **values: str) -> dict[str, Any]:
    """Return the resolved file with the values in .env besides the secrets."""
    env = make_env(folder)
    env.write_text(env.read_text() + "".join(f"{name}={value}\n" for name, value in values.items()))
    done = compose("--env-file", str(env), "config")
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout))


def test_traces_and_the_connection_of_notices_are_passed_on_where_they_are_given(composed, tmp_path):
    given = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "AIRFLOW_CONN_HOMEOSTAT_ALERTS": "apprise://",
    }
    found = resolved(tmp_path, **given)["services"]
    for name in (*AIRFLOW, *GATEWAYS):
        without = composed["services"][name]["environment"]
        assert {key: found[name]["environment"][key] for key in given} == given
        assert {key: without.get(key) for key in given} == dict.fromkeys(given), "not even empty"
        assert found[name]["environment"].get("AIRFLOW__TRACES__OTEL_ON") in (
            ["False"] if name in AIRFLOW else [None]
        )


def compose(*arguments: str) -> subprocess.CompletedProcess[str]:
    # No value may come from the environment of this test run.
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        [
            "docker-compose",
            "--project-directory",
            str(ROOT),
            "--file",
            str(ROOT / "docker-compose.yml"),
            *arguments,
        ],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_missing_secrets_are_reported_with_the_command_to_run(composed, tmp_path):
    (tmp_path / ".env").touch()
    done = compose("--env-file", str(tmp_path / ".env"), "config")
    assert done.returncode != 0
    assert "make env" in done.stderr


def test_every_service_is_defined(composed):
    always = {"postgres", "store", "store-init", "mlflow", "airflow-init", *AIRFLOW, *GATEWAYS}
    assert set(composed["services"]) == always | {"prometheus", "grafana"}
    assert {
        name: service["profiles"] for name, service in composed["services"].items() if "profiles" in service
    } == {
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }


def test_prometheus_scrapes_every_gateway_and_grafana_asks_that_prometheus(composed):
    services, folder = composed["services"], ROOT / "infra" / "monitoring"
    [scraped] = yaml.safe_load((folder / "prometheus.yml").read_text())["scrape_configs"]
    assert scraped["static_configs"] == [{"targets": [f"{name}:8000" for name in GATEWAYS]}]
    assert all("8000" in services[name]["command"] for name in GATEWAYS)
    source = yaml.safe_load((folder / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    assert [each["url"] for each in source["datasources"]] == ["http://prometheus:9090"]
    provider = yaml.safe_load((folder / "grafana/provisioning/dashboards/homeostat.yaml").read_text())
    mounted = {volume.split(":")[1] for volume in services["grafana"]["volumes"]}
    assert f"{provider['providers'][0]['options']['path']}/homeostat.json" in mounted
    assert services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in mounted
    assert services["grafana"]["environment"]["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"


def test_every_image_is_pinned_by_version(composed):
    images = {service["image"] for service in composed["services"].values()}
    assert all(re.search(r":v?\d+\.\d+", image) for image in images), images
    assert re.search(r"^FROM python:\d+\.\d+\.\d+", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_every_server_has_a_health_check_and_waits_for_its_dependencies(composed):
    services = composed["services"]
    for name, service in services.items():
        if name.endswith("-init"):
            assert service["restart"] == "no"
            continue
        assert "healthcheck" in service, name
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            finished = "service_completed_successfully" if needed.endswith("-init") else "service_healthy"
            assert how["condition"] == finished, f"{name} waits for {needed}"


def test_dependencies_have_no_cycle(composed):
    waiting = {name: set(service.get("depends_on", {})) for name, service in composed["services"].items()}
    while waiting:
        ready = {name for name, needs in waiting.items() if not needs & set(waiting)}
        assert ready, f"these wait for one another: {sorted(waiting)}"
        waiting = {name: needs for name, needs in waiting.items() if name not in ready}


def test_services_use_known_settings_with_the_right_values(composed):
    read_by_models = {
        name
        for file in (ROOT / "include/models").glob("*/pipeline.py")
        for name in re.findall(r"HOMEOSTAT_\w+", file.read_text())
    }
    known = set(settings_env(Settings.from_env({}))) | read_by_models
    known |= {"HOMEOSTAT_GATEWAY_NAME", "HOMEOSTAT_GIT_REVISION"}
    for name in (*AIRFLOW, *GATEWAYS):
        env = composed["services"][name]["environment"]
        assert {key for key in env if key.startswith("HOMEOSTAT_")} <= known
        settings = Settings.from_env(env)
        assert settings.store == "s3://homeostat/data"
        assert settings.tracking_uri == "http://mlflow:5000"
        assert settings.ledger.startswith("postgresql+psycopg2://ledger:")
        assert settings.control_token


def test_tasks_preload_the_same_libraries_as_homeostat_up(composed):
    env = composed["services"]["airflow-scheduler"]["environment"]
    assert tuple(env["AIRFLOW__SCHEDULER__MP_FORKSERVER_PRELOAD"].split(",")) == PRELOADED


def test_airflow_mlflow_and_the_ledger_have_separate_databases(composed):
    services = composed["services"]
    urls = {
        services["airflow-scheduler"]["environment"]["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"],
        services["mlflow"]["environment"]["MLFLOW_BACKEND_STORE_URI"],
        services["gateway-a"]["environment"]["HOMEOSTAT_LEDGER"],
    }
    databases = {url.rpartition("/")[2] for url in urls}
    created = re.findall(
        r"^make_database (\w+)", (ROOT / "infra/compose/postgres-init.sh").read_text(), re.MULTILINE
    )
    assert databases == set(created) == {"airflow", "mlflow", "ledger"}


def test_airflows_services_share_their_keys(composed):
    keys = ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET")
    for key in keys:
        assert len({composed["services"][name]["environment"][key] for name in AIRFLOW}) == 1


def test_the_gateways_have_separate_state_volumes(composed):
    mounted = [
        {volume.split(":")[0] for volume in composed["services"][name]["volumes"] if "-state:" in volume}
        for name in GATEWAYS
    ]
    assert all(mounted)
    assert not mounted[0] & mounted[1]


def test_ports_are_published_on_this_host_only(composed):
    ports = [port for service in composed["services"].values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not str(port).startswith("127.0.0.1:")] == []


def test_ports_can_be_changed_and_mlflows_links_follow(composed, tmp_path):
    defaults = {"airflow-api-server": 8080, "mlflow": 5000, "gateway-a": 8001, "gateway-b": 8002}
    inside = {"airflow-api-server": 8080, "mlflow": 5000, "gateway-a": 8000, "gateway-b": 8000}
    names = ("AIRFLOW_PORT", "MLFLOW_PORT", "GATEWAY_A_PORT", "GATEWAY_B_PORT")
    changed = dict(zip(defaults, range(18000, 18004), strict=True))
    other = resolved(
        tmp_path, **{name: str(port) for name, port in zip(names, changed.values(), strict=True)}
    )
    for found, ports in ((composed, defaults), (other, changed)):
        for name, port in ports.items():
            (published,) = found["services"][name]["ports"]
            assert published.removesuffix("/tcp") == f"127.0.0.1:{port}:{inside[name]}"
        for name in (*AIRFLOW, *GATEWAYS):
            settings = Settings.from_env(found["services"][name]["environment"])
            assert settings.mlflow_public_url == f"http://localhost:{ports['mlflow']}"


def test_one_service_builds_the_image_and_all_others_of_it_wait_for_that_one(composed):
    services = composed["services"]
    (builder,) = (name for name, service in services.items() if "build" in service)

    def waits(name: str) -> bool:
        needed = services[name].get("depends_on", {})
        return name == builder or any(waits(other) for other in needed)

    image = services[builder]["image"]
    assert [name for name, s in services.items() if s["image"] == image and not waits(name)] == []


def test_the_revision_is_built_into_the_image_and_given_to_what_trains(tmp_path):
    # Where the checkout has no git, `make env` writes no revision: it is given here in both cases.
    services = resolved(tmp_path, HOMEOSTAT_GIT_REVISION="abc123")["services"]
    (build,) = (service["build"] for service in services.values() if "build" in service)
    assert build["args"] == {"GIT_REVISION": "abc123"}
    assert services["airflow-scheduler"]["environment"]["HOMEOSTAT_GIT_REVISION"] == "abc123"
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^ARG GIT_REVISION=$", dockerfile, re.MULTILINE)
    assert re.search(r"^ENV HOMEOSTAT_GIT_REVISION=\$\{GIT_REVISION\}$", dockerfile, re.MULTILINE)


def test_doctor_finds_airflow_from_a_gateway(composed):
    for name in GATEWAYS:
        settings = Settings.from_env(composed["services"][name]["environment"])
        assert settings.airflow == "http://airflow-api-server:8080"


def test_the_example_models_can_be_fed_everywhere(composed, tmp_path):
    state = {"HOMEOSTAT_PUMP_SCENARIO": "story", "HOMEOSTAT_PUMP_SEED": "7"}
    other = resolved(tmp_path, HOMEOSTAT_DATA=str(tmp_path), **state)
    for name in ("airflow-scheduler", "airflow-dag-processor", *GATEWAYS):
        assert "data:/data:ro" in composed["services"][name]["volumes"]
        service = other["services"][name]
        assert f"{tmp_path}:/data:ro" in service["volumes"]
        assert service["environment"]["HOMEOSTAT_DATA"] == "/data"
        assert Path(service["environment"]["HOMEOSTAT_PUMP_STATE"]).parent == Path("/data")
        assert {key: service["environment"][key] for key in state} == state


def test_mounted_files_exist(composed):
    for service in composed["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("/"):
                assert Path(source).exists(), volume


def test_env_is_private_and_keeps_existing_values(tmp_path):
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=mine\nOTHER=1")
    first = make_env(tmp_path).read_text()
    assert first.startswith("POSTGRES_PASSWORD=mine\nOTHER=1\n")
    assert make_env(tmp_path).read_text() == first
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    written = dict(line.split("=", 1) for line in first.splitlines())
    required = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    assert required <= set(written)


def test_make_env_writes_the_revision_of_today(tmp_path):
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    revision = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    (tmp_path / ".env").write_text("HOMEOSTAT_GIT_REVISION=of-last-week\nOTHER=1\n")
    lines = make_env(tmp_path).read_text().splitlines()
    found = [line for line in lines if line.startswith("HOMEOSTAT_GIT_REVISION=")]
    assert found == [f"HOMEOSTAT_GIT_REVISION={revision or 'of-last-week'}"]
    assert "OTHER=1" in lines


def test_the_repository_contains_no_secret_values():
    names = re.findall(r'^    "(\w+)":', (ROOT / "infra/compose/make_env.py").read_text(), re.MULTILINE)
    assert len(names) > 5
    for file in (
        "docker-compose.yml",
        "Dockerfile",
        "airflow_settings.yaml",
        "infra/compose/postgres-init.sh",
    ):
        text = (ROOT / file).read_text()
        for name in names:
            assert not re.search(rf"^\s*{name}[:=]\s*[^$\s]", text, re.MULTILINE), f"{file}: {name}"
