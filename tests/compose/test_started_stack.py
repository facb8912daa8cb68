"""docker-compose.yml really started: ``make test-compose``, which is not part of ``make test``.

The tests are steps of one story, in their order, with the services of one fixture. They need root and
apt, but no image registry: infra/compose/make_base_images.sh makes the base images of Debian packages.
"""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from compose_stack import PROJECT, ROOT, ComposeStack
from docker_daemon import running_daemon, wait_for, why_not

FOLDER = os.environ.get("HOMEOSTAT_COMPOSE_FOLDER", "")
PROBLEM = why_not() if FOLDER else "it starts all services of docker-compose.yml for ten minutes or more"
pytestmark = [
    pytest.mark.skipif(bool(PROBLEM), reason=f"runs in `make test-compose`: {PROBLEM}"),
    pytest.mark.timeout(3600),
]
GATEWAYS = ("gateway-a", "gateway-b")
#: A rollout of pump_fault takes hours; here a minute.
OVERRIDES = """
pump_fault:
  shadow: {duration: 20s, max_divergence: 0.5}
  canary: {steps: [0.5], step_duration: 20s}
"""
#: Prints the ids of all predictions in the log that went to clients.
LOGGED = """
import json
from datetime import UTC, datetime, timedelta
from homeostat.adapters import open_store
from homeostat.config import Settings
from homeostat.storage.prediction_log import read_predictions

settings, now = Settings.from_env(), datetime.now(UTC)
store, config = open_store(settings.store), settings.load_model("pump_fault")
read = read_predictions(store, config, now - timedelta(days=2), now + timedelta(hours=1))
assert read.unreadable == (), read.unreadable
print(json.dumps(sorted(read.rows["_prediction_id"])))
"""
EVENTS = """
SELECT json_agg(json_build_array(model, revision, at, kind) ORDER BY model, revision) FROM homeostat_events
"""
HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def hours_ago(count):
    return f"{HOUR - timedelta(hours=count):%Y-%m-%dT%H:%MZ}"


@pytest.fixture(scope="module")
def stack(tmp_path_factory, free_port):
    """Everything of docker-compose.yml, built and up; at the end all but the images is removed."""
    folder = Path(FOLDER)
    with running_daemon(folder) as docker:
        script = [str(ROOT / "infra/compose/make_base_images.sh"), str(folder / "downloads")]
        subprocess.run(script, env=docker | {"PYTHON": sys.executable}, check=True)
        started = ComposeStack(tmp_path_factory.mktemp("compose"), docker, free_port)
        (started.data / "overrides.yaml").write_text(OVERRIDES)
        story = {"scenario": "story", "drift_at": hours_ago(8), "seed": 0}
        (started.data / "pump_fault.json").write_text(json.dumps(story))
        try:
            started.compose("build")
            started.compose("up", "-d")
            yield started
        finally:
            started.save_logs(folder / "services.log")
            started.remove()
            subprocess.run(["docker", "image", "prune", "--force"], env=docker, check=False)


def until_well(stack):
    wait_for("all services to be healthy", 900, lambda: not stack.unwell(), stack.unwell)


def kept(stack):
    """Return what a restart must not lose: champion, events of the ledger, ids in the prediction log."""
    headers = {"Authorization": f"Bearer {stack.values['HOMEOSTAT_CONTROL_TOKEN']}"}
    for gateway in GATEWAYS:
        flush = httpx.post(f"{stack.url(gateway)}/control/flush", headers=headers, timeout=60)
        assert flush.status_code == 200, flush.text
    psql = (
        "psql",
        "--username",
        "postgres",
        "--dbname",
        "ledger",
        "--no-align",
        "--tuples-only",
        "--command",
    )
    events = json.loads(stack.compose("exec", "-T", "postgres", *psql, EVENTS))
    return {"champion": stack.status()["champion"], "events": events, "logged": stack.python(LOGGED)}


def health(stack, path):
    """Return what the API of the health pages of a gateway says."""
    return httpx.get(f"{stack.url('gateway-b')}/health/models{path}", timeout=60).raise_for_status().json()


def both_answer_with(stack, version):
    """A gateway follows the ledger within seconds, at its next look."""
    for gateway in GATEWAYS:
        wait_for(
            f"{gateway} to answer with version {version}",
            60,
            lambda gateway=gateway: stack.predict(gateway) == version,
        )


def test_every_service_becomes_healthy(stack):
    until_well(stack)


def test_airflow_reads_all_dags_and_doctor_finds_nothing_broken(stack):
    assert stack.airflow("importErrors")["total_entries"] == 0
    dags = {dag["dag_id"] for dag in stack.airflow("dags")["dags"]}
    assert {"drift_check__pump_fault", "retrain__pump_fault", "drift_check__bike_demand"} <= dags
    checks = json.loads(stack.homeostat("doctor", "pump_fault", "--json"))["checks"]
    (airflow,) = (check for check in checks if check["name"] == "airflow")
    assert airflow["state"] == "ok", checks


def test_a_first_version_is_served_by_both_gateways(stack):
    options = ("--until", hours_ago(9), "--reason", "first", "--json")
    result = json.loads(stack.homeostat("retrain", "pump_fault", *options))
    both_answer_with(stack, "1")
    assert result["url"].startswith(f"http://localhost:{stack.ports['mlflow']}/#/")
    assert httpx.get(result["url"], timeout=30).status_code == 200  # what a browser on this host opens
    version = httpx.get(
        f"{stack.url('mlflow')}/api/2.0/mlflow/model-versions/get",
        params={"name": "pump_fault", "version": "1"},
        timeout=30,
    ).raise_for_status()
    tags = {tag["key"]: tag["value"] for tag in version.json()["model_version"]["tags"]}
    assert tags["homeostat.git_revision"] == stack.values.get("HOMEOSTAT_GIT_REVISION", "unknown")


def check_window(stack, end):
    """Let Airflow check one window, and wait for it: the trigger counts windows in their order."""
    body = {"logical_date": None, "conf": {"window_end": end}}
    run = stack.airflow("dags/drift_check__pump_fault/dagRuns", body)["dag_run_id"]
    path = f"dags/drift_check__pump_fault/dagRuns/{run}"
    ended = ("success", "failed")

    def state():
        return stack.airflow(path)["state"]

    wait_for(f"the drift check up to {end}", 300, lambda: state() in ended, state)
    assert state() == "success"


def newest_retrain(stack):
    runs = stack.airflow("dags/retrain__pump_fault/dagRuns?limit=1&order_by=-run_after")["dag_runs"]
    return runs[0]["state"] if runs else "none"


def test_checks_find_the_drift_and_a_retrain_ends_in_a_new_champion(stack):
    for gateway in GATEWAYS:
        assert stack.replay(gateway, hours_ago(9)) > 0
    for hours in (3, 2, 1, 0):
        check_window(stack, hours_ago(hours))
    # The shadow wants rows to compare, and a step of the canary answers of the candidate.
    with stack.traffic(hours_ago(8)):
        wait_for(
            "the end of the retrain",
            1200,
            lambda: newest_retrain(stack) in ("success", "failed"),
            lambda: newest_retrain(stack),
        )
    status = stack.status()
    assert newest_retrain(stack) == "success", status
    assert (status["champion"]["version"], status["previous"]["version"]) == ("2", "1"), status
    both_answer_with(stack, "2")


def test_the_health_page_knows_the_story_and_links_to_what_a_browser_on_this_host_opens(stack):
    (row,) = (row for row in health(stack, "")["models"] if row["model"] == "pump_fault")
    assert (row["champion"], row["candidate"]) == ("2", None)
    assert row["rows"] > 0  # of the newest window that Airflow checked
    model = health(stack, "/pump_fault")
    assert "promoted" in {mark["kind"] for mark in model["marks"]}
    links = model["links"]
    assert links["airflow"].startswith(f"http://localhost:{stack.ports['airflow']}/"), links
    assert links["versions"].startswith(f"http://localhost:{stack.ports['mlflow']}/"), links


def test_prometheus_of_the_profile_reads_both_gateways_and_all_alert_rules(stack):
    stack.compose("--profile", "monitoring", "up", "-d", "prometheus")

    def ask(path, **params):
        answer = httpx.get(f"{stack.url('prometheus')}/api/v1/{path}", params=params, timeout=30)
        return answer.raise_for_status().json()["data"]

    def both_read():
        try:
            up = ask("query", query="up")["result"]
        except httpx.HTTPError:
            return False
        return sorted(each["value"][1] for each in up) == ["1", "1"]

    wait_for("Prometheus to have read both gateways", 300, both_read)
    rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
    wanted = yaml.safe_load((ROOT / "infra/monitoring/alerts.yaml").read_text())["groups"]
    assert len(rules) == sum(len(group["rules"]) for group in wanted) > 0
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}, rules
    checked = ask("query", query="homeostat_drifted_share")["result"]
    assert {each["metric"]["model"] for each in checked} == {"pump_fault"}


def test_a_killed_gateway_comes_back_while_the_other_answers(stack):
    before = stack.containers()["gateway-a"]["RestartCount"]
    for _ in range(50):  # rows that are only on its disk
        assert stack.predict("gateway-a") == "2"
    stack.kill("gateway-a")

    def back():
        assert stack.predict("gateway-b") == "2"
        restarts = stack.containers()["gateway-a"]["RestartCount"]
        return restarts > before and "gateway-a" not in stack.unwell()

    wait_for("gateway-a to be healthy again", 300, back, stack.unwell)
    both_answer_with(stack, "2")


def test_requests_are_answered_while_postgresql_restarts(stack):
    restart = stack.start("restart", "postgres")

    def restarted():
        assert [stack.predict(gateway) for gateway in GATEWAYS] == ["2", "2"]
        return restart.poll() is not None

    wait_for("PostgreSQL's restart", 120, restarted)
    assert restart.returncode == 0
    until_well(stack)
    both_answer_with(stack, "2")


@pytest.mark.parametrize("how", [(("restart",),), (("down",), ("up", "-d"))], ids=["restart", "down and up"])
def test_nothing_is_lost_when_everything_restarts(stack, how):
    before = kept(stack)
    late = [stack.predict(gateway) for gateway in GATEWAYS for _ in range(20)]  # not uploaded yet
    assert set(late) == {"2"}
    for command in how:
        stack.compose(*command)
    until_well(stack)
    both_answer_with(stack, "2")
    after = kept(stack)
    assert after["champion"] == before["champion"]
    assert after["events"] == before["events"]
    own = {name for name in after["logged"] if name.startswith("compose-")}
    assert own == set(stack.answered)
    assert set(after["logged"]) - own == {
        name for name in before["logged"] if not name.startswith("compose-")
    }


def test_down_leaves_no_container_volume_or_network(stack):
    stack.compose("down", "--volumes")
    assert stack.containers() == {}
    for kind in ("volume", "network"):
        project = f"label=com.docker.compose.project={PROJECT}"
        assert stack.docker(kind, "ls", "--quiet", "--filter", project).split() == []
