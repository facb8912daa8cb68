"""docs/existing-airflow.md in a virtualenv with Apache Airflow alone: ``make test-package``.

The commands and the DAG files are the page's own, with addresses and folders of this machine: the wheel is
installed, ``airflow standalone`` shows the provider and the DAGs, a retrain ends in a champion, the plugin's
page opens, the connection's test works.
"""

import json
import os
import re
import socket
import subprocess
import textwrap
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

import homeostat

VENV, WHEEL = (os.environ.get(f"HOMEOSTAT_PACKAGE_{name}", "") for name in ("VENV", "WHEEL"))
pytestmark = [
    pytest.mark.skipif(not VENV, reason="runs in `make test-package`: it needs a virtualenv with Airflow"),
    pytest.mark.timeout(900),
]
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "existing-airflow.md").read_text()
SECTION = PAGE.partition("\n## An Airflow in a virtualenv\n")[2].partition("\n## ")[0]
FENCED = re.compile(r"^   ```python\n(.*?)^   ```\n", re.MULTILINE | re.DOTALL)
#: The DAG file of five lines, and the one with all options.
DAG_FILE, DAG_FILE_WITH_OPTIONS = (textwrap.dedent(block) for block in FENCED.findall(SECTION))
#: The commands of steps 1, 2, 3 and 5.
INSTALL, NEW, CONNECT, GATEWAY = (
    textwrap.dedent(block) for block in re.findall(r"(?:^ {7}.*\n)+", FENCED.sub("", SECTION), re.MULTILINE)
)
TOKEN = "a-control-token-of-the-test"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(what, seconds, log=None):
    """Return the first true result of ``what``; a failure shows the end of the log."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError, ValueError, KeyError):
            if found := what():
                return found
        time.sleep(0.5)
    return pytest.fail(log.read_text()[-6000:] if log else "not in time")


class Installation:
    """The programs of the virtualenv, in one environment without this checkout."""

    def __init__(self, folder):
        self.folder = folder
        self.airflow, self.mlflow, self.gateway = (f"http://127.0.0.1:{free_port()}" for _ in range(3))
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in ("HOME", "LANG", "USER") or name.startswith("PIP_")
        }
        self.env = {
            **kept,
            "PATH": f"{VENV}/bin:/usr/local/bin:/usr/bin:/bin",
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.airflow}/execution/",
            "AIRFLOW__API__PORT": self.airflow.rpartition(":")[2],
            "AIRFLOW__API__BASE_URL": self.airflow,
            "AIRFLOW__TRIGGERER__DEFAULT_CAPACITY": "8",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PYTHONWARNINGS": "ignore",
        }
        self.own = {
            "HOMEOSTAT_MODELS": str(folder / "models"),
            "HOMEOSTAT_LEDGER": f"sqlite:///{folder}/state/ledger.db",
            "HOMEOSTAT_STORE": f"file://{folder}/state/store",
            "MLFLOW_TRACKING_URI": self.mlflow,
            "HOMEOSTAT_STATE": str(folder / "gateway"),
            "HOMEOSTAT_CONTROL_TOKEN": TOKEN,
        }

    def run(self, *command, **more):
        done = subprocess.run(
            command, env={**self.env, **more}, capture_output=True, text=True, check=False, cwd=self.folder
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def here(self, text):
        """What the page says, with the folders and addresses of this test."""
        places = {
            "'homeostat[": f"'{WHEEL}[",
            "/opt/models": str(self.folder / "models"),
            "postgresql+psycopg2://user:password@host/ledger": self.own["HOMEOSTAT_LEDGER"],
            "s3://bucket/homeostat": self.own["HOMEOSTAT_STORE"],
            "https://mlflow.example.com": self.mlflow,
            "http://gateway:8000": self.gateway,
            "--host 0.0.0.0 --port 8000": f"--host 127.0.0.1 --port {self.gateway.rpartition(':')[2]}",
        }
        for theirs, ours in places.items():
            text = text.replace(theirs, ours)
        return text

    def shell(self, commands, **more):
        return self.run("bash", "-euc", self.here(commands), **more)

    def log(self, name):
        return self.folder / f"{name}.log"

    @contextmanager
    def running(self, name, *command, **more):
        with self.log(name).open("w") as log:
            process = subprocess.Popen(
                command,
                env={**self.env, **more},
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()

    def api(self, method, path, **how):
        token = httpx.get(f"{self.airflow}/auth/token", timeout=30).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.request(method, self.airflow + path, headers=headers, timeout=60, **how)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Airflow, MLflow and a gateway from the virtualenv; settings reach Airflow by the connection alone."""
    setup = Installation(tmp_path_factory.mktemp("package"))
    dags = setup.folder / "airflow" / "dags"
    dags.mkdir(parents=True)
    assert "homeostat" not in setup.run("airflow", "providers", "list")
    setup.shell(INSTALL, PIP_CONSTRAINT=f"{VENV}/constraints.txt")
    setup.shell(NEW)
    (dags / "models.py").write_text(setup.here(DAG_FILE))
    with ExitStack() as stack:
        mlflow_db = f"sqlite:///{setup.folder}/mlflow.db"
        port = setup.mlflow.rpartition(":")[2]
        stack.enter_context(
            setup.running(
                *("mlflow", "mlflow", "server", "--port", port, "--workers", "1"),
                *("--backend-store-uri", mlflow_db, "--artifacts-destination", str(setup.folder / "files")),
                MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
            )
        )
        setup.run("airflow", "db", "migrate")
        setup.shell(CONNECT, HOMEOSTAT_CONTROL_TOKEN=TOKEN)
        wait_for(lambda: httpx.get(f"{setup.mlflow}/health").is_success, 90, setup.log("mlflow"))
        stack.enter_context(setup.running("airflow", "airflow", "standalone"))
        install, serve = GATEWAY.strip().splitlines()
        setup.shell(install, PIP_CONSTRAINT=f"{VENV}/constraints.txt")
        stack.enter_context(
            setup.running("gateway", "bash", "-euc", f"exec {setup.here(serve)}", **setup.own)
        )
        wait_for(lambda: setup.api("GET", "/api/v2/monitor/health").is_success, 180, setup.log("airflow"))
        ready = f"{setup.gateway}/v2/health/live"
        wait_for(lambda: httpx.get(ready).is_success, 60, setup.log("gateway"))
        yield setup


def test_airflow_lists_the_provider(installed):
    assert (
        f"| {homeostat.__version__}"
        in installed.run("airflow", "providers", "list").partition("homeostat")[2]
    )
    hooks = installed.run("airflow", "providers", "hooks")
    assert "homeostat_airflow.hook.HomeostatHook" in hooks
    assert "HomeostatNotifier" in installed.run("airflow", "providers", "notifications")


def dags_of(installed, pattern):
    """The DAGs whose ids contain the pattern, once both are there."""

    def both():
        dags = installed.api("GET", f"/api/v2/dags?dag_id_pattern={pattern}").json()["dags"]
        dags = [dag for dag in dags if not dag["dag_id"].endswith("join_log_files")]
        return {dag["dag_id"]: dag for dag in dags} if len(dags) == 2 else None

    found = wait_for(both, 120, installed.log("airflow"))
    assert installed.api("GET", "/api/v2/importErrors").json()["import_errors"] == []
    return found


def test_five_lines_make_the_dags(installed):
    assert len(DAG_FILE.strip().splitlines()) <= 5
    assert set(dags_of(installed, "churn")) == {"drift_check__churn", "retrain__churn"}


def test_the_connections_test_says_what_works_and_what_does_not(installed):
    body = {
        "connection_id": "mine",
        "conn_type": "homeostat",
        "host": installed.gateway,
        "password": TOKEN,
        "extra": json.dumps({"ledger": installed.own["HOMEOSTAT_LEDGER"], "mlflow": installed.mlflow}),
    }
    found = installed.api("POST", "/api/v2/connections/test", json=body).json()
    assert found == {"status": True, "message": "ledger: works. store: works. MLflow: works. gateway: works"}
    broken = {**body, "host": "http://127.0.0.1:9"}
    found = installed.api("POST", "/api/v2/connections/test", json=broken).json()
    assert found["status"] is False
    assert "gateway: no gateway responds at http://127.0.0.1:9" in found["message"]
    assert "MLflow: works" in found["message"]


def test_a_retrain_ends_in_a_champion(installed):
    path = "/api/v2/dags/retrain__churn/dagRuns"
    body = {"logical_date": None, "conf": {"skip_shadow": True}}
    run = wait_for(
        lambda: installed.api("POST", path, json=body).raise_for_status().json(), 60, installed.log("airflow")
    )

    def ended():
        state = installed.api("GET", f"{path}/{run['dag_run_id']}").json()
        return state if state["state"] in ("success", "failed") else None

    state = wait_for(ended, 420, installed.log("airflow"))
    assert state["state"] == "success", installed.log("airflow").read_text()[-6000:]
    assert state["note"].startswith("**Retrain promoted.**")
    found = json.loads(installed.run("homeostat", "status", "churn", "--json", **installed.own))
    assert found["churn"]["champion"]["version"] == "1"
    page = installed.api("GET", "/homeostat/health")
    assert (page.status_code, "churn" in page.text) == (200, True)


def test_the_gateway_serves_the_champion(installed):
    row = {"amount": 100.0, "days_open": 3.0, "segment": "small"}
    said = httpx.post(f"{installed.gateway}/models/churn/invocations", json={"dataframe_records": [row]})
    assert (said.status_code, len(said.json()["predictions"])) == (200, 1)


def test_the_dags_have_the_prefix_the_tags_and_the_owner_of_the_page(installed):
    installed.run("airflow", "pools", "set", "training", "2", "for the test")
    (installed.folder / "airflow/dags/with_options.py").write_text(installed.here(DAG_FILE_WITH_OPTIONS))
    found = dags_of(installed, "ml_")
    assert set(found) == {"ml_drift_check__churn", "ml_retrain__churn"}
    for dag in found.values():
        assert {tag["name"] for tag in dag["tags"]} == {"risk", "churn"}
        assert dag["owners"] == ["data-science"]
    assert found["ml_drift_check__churn"]["timetable_summary"] == "15 * * * *"


def test_nothing_of_this_checkout_was_used(installed):
    code = "import homeostat, homeostat_airflow; print(homeostat.__file__, homeostat_airflow.__file__)"
    paths = installed.run(f"{VENV}/bin/python", "-c", code).split()
    assert all(Path(path).is_relative_to(VENV) for path in paths)
