"""infra/kubernetes: valid for the oldest and the newest Kubernetes of the schemas; its parts fit together."""

import copy
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
import yaml

import homeostat

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "infra" / "kubernetes"
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="it is in requirements-dev.txt")


def documents(name):
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


OBJECTS = {
    f"{name}:{each['kind']}": each
    for name in ("gateway.yaml", "secret.example.yaml")
    for each in documents(name)
}
DEPLOYMENT = OBJECTS["gateway.yaml:Deployment"]
POD = DEPLOYMENT["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]
SECRET = OBJECTS["secret.example.yaml:Secret"]
VALUES = yaml.safe_load((FOLDER / "values.yaml").read_text())


def versions():
    known = {tuple(map(int, each.split("."))) for each in kubernetes_validate.utils.all_versions()}
    return [".".join(map(str, each)) for each in (min(known), max(known))]


def variables(entries):
    return {entry["name"]: entry["value"] for entry in entries}


@pytest.mark.parametrize("which", [0, 1], ids=["oldest", "newest"])
@pytest.mark.parametrize("name", OBJECTS)
def test_each_object_is_valid(name, which):
    kubernetes_validate.validate(OBJECTS[name], versions()[which], strict=True)


@pytest.mark.parametrize("path", [("spec", "replica"), ("spec", "template", "spec", "runAsNonRoot")])
def test_a_misspelt_or_misplaced_key_is_found(path):
    wrong = copy.deepcopy(DEPLOYMENT)
    place = wrong
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = True
    with pytest.raises(kubernetes_validate.ValidationError, match=path[-1]):
        kubernetes_validate.validate(wrong, versions()[1], strict=True)


def test_service_and_disruption_budget_select_the_pods():
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        DEPLOYMENT["spec"]["selector"]["matchLabels"],
        OBJECTS["gateway.yaml:Service"]["spec"]["selector"],
        OBJECTS["gateway.yaml:PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        POD["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels for selector in selectors)
    assert POD["serviceAccountName"] == OBJECTS["gateway.yaml:ServiceAccount"]["metadata"]["name"]


def test_ports_and_volumes_that_are_named_exist():
    ports = {port["name"] for port in CONTAINER["ports"]}
    probes = [CONTAINER[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "readiness", "liveness")]
    [service] = OBJECTS["gateway.yaml:Service"]["spec"]["ports"]
    assert {*probes, service["targetPort"]} == ports
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == {each["name"] for each in POD["volumes"]}
    [port] = CONTAINER["ports"]
    assert CONTAINER["command"][-1] == str(port["containerPort"]) == str(service["port"])


def test_gateway_and_airflow_have_the_same_image_secret_and_addresses():
    image = VALUES["images"]["airflow"]
    assert CONTAINER["image"] == f"{image['repository']}:{image['tag']}"
    assert yaml.safe_load(VALUES["extraEnvFrom"]) == CONTAINER["envFrom"]
    assert CONTAINER["envFrom"] == [{"secretRef": {"name": SECRET["metadata"]["name"]}}]
    airflow, gateway = variables(VALUES["env"]), variables(CONTAINER["env"])
    service = OBJECTS["gateway.yaml:Service"]
    assert airflow.pop("HOMEOSTAT_GATEWAY") == f"http://{service['metadata']['name']}:8000"
    assert airflow.items() <= gateway.items()


def test_every_variable_is_a_setting():
    documented = re.findall(r"`((?:HOMEOSTAT|MLFLOW)_\w+)`", (ROOT / "docs/gateway.md").read_text())
    named = {*variables(VALUES["env"]), *variables(CONTAINER["env"]), *SECRET["stringData"]}
    credentials = {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
    assert named - set(documented) - credentials == {"MPLCONFIGDIR"}


def test_the_versions_are_those_of_this_release():
    dockerfile = (FOLDER / "Dockerfile").read_text()
    locked = re.search(r"(?m)^apache-airflow==(\S+)", (ROOT / "requirements.txt").read_text())[1]
    assert re.search(r"(?m)^FROM apache/airflow:(\S+)$", dockerfile)[1] == VALUES["airflowVersion"] == locked
    assert set(re.findall(r"homeostat-([\d.]+)-py3", dockerfile)) == {homeostat.__version__}
    assert VALUES["images"]["airflow"]["tag"] == homeostat.__version__


def test_the_pod_runs_without_rights():
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["runAsUser"] > 0
    assert POD["automountServiceAccountToken"] is False
    own = CONTAINER["securityContext"]
    assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
    assert own["capabilities"] == {"drop": ["ALL"]}


def test_kubernetes_waits_longer_than_the_gateway_takes_to_end():
    from homeostat.serving.server.supervisor import STOP_SECONDS

    pause = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert POD["terminationGracePeriodSeconds"] >= pause + STOP_SECONDS


def status(url):
    try:
        return requests.get(url, timeout=10).status_code
    except requests.RequestException:  # while it starts, the port is open and nothing responds yet
        return None


@pytest.mark.slow
def test_the_command_serves_the_probes_with_the_variables_of_the_manifest(tmp_path, free_port):
    (tmp_path / "models").mkdir()
    own = {
        "HOMEOSTAT_LEDGER": f"sqlite:///{tmp_path}/ledger.db",
        "HOMEOSTAT_STORE": f"file://{tmp_path}/store",
        "HOMEOSTAT_MODELS": str(tmp_path / "models"),
        "HOMEOSTAT_STATE": str(tmp_path / "state"),
        "MPLCONFIGDIR": str(tmp_path),
    }
    env = {**os.environ, **SECRET["stringData"], **variables(CONTAINER["env"]), **own}
    program, *arguments = CONTAINER["command"]
    assert program == "homeostat"
    port = str(free_port())
    here = {CONTAINER["command"][-3]: "127.0.0.1", CONTAINER["command"][-1]: port}
    arguments = [here.get(word, word) for word in arguments]
    code = "from homeostat.cli import main; main()"
    with (tmp_path / "log").open("w") as log:
        gateway = subprocess.Popen([sys.executable, "-c", code, *arguments], env=env, stdout=log, stderr=log)
    try:
        at = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        startup = at + CONTAINER["startupProbe"]["httpGet"]["path"]
        while status(startup) != 200:
            assert gateway.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.1)
        assert status(at + CONTAINER["livenessProbe"]["httpGet"]["path"]) == 200
        assert status(at + CONTAINER["readinessProbe"]["httpGet"]["path"]) == 503  # no model has a version
    finally:
        gateway.terminate()
        assert gateway.wait(60) == 0
