"""A real Prometheus scrapes a real gateway: a model decays and its alert fires; every panel has series."""

import json
import shutil
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from homeostat.config import Settings, load_model
from homeostat.monitoring.drift_check import check_drift
from homeostat.serving.runtime import LOAD_BUNDLE
from sample_model import T0, rows_between, serve
from serving.gateway_harness import FAST, GatewayFixture, serving

FOLDER = Path(__file__).resolve().parents[2] / "infra" / "monitoring"
HOUR = timedelta(hours=1)
DECAYED = "HomeostatPerformanceDecayedCritically"


class Prometheus:
    """The HTTP interface of a running Prometheus."""

    def __init__(self, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.http = httpx.Client(base_url=url, timeout=10, trust_env=False)
        self.process, self.log = process, log

    def query(self, expression: str) -> list[dict]:
        answer = self.http.get("/api/v1/query", params={"query": expression})
        if answer.status_code == 503:
            raise httpx.TransportError("it still starts")
        done = answer.json()
        assert done["status"] == "success", done
        return done["data"]["result"]

    def alerts(self) -> dict[str, dict]:
        found = self.http.get("/api/v1/alerts").json()["data"]["alerts"]
        return {each["labels"]["alertname"]: each for each in found if each["state"] == "firing"}

    def until(self, what, condition, seconds=60):
        end = time.monotonic() + seconds
        while True:
            try:
                if found := condition():
                    return found
            except httpx.TransportError:  # it still starts
                pass
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, f"waited {seconds} s until {what}\n{self.log.read_text()[-2000:]}"
            time.sleep(0.1)


@pytest.fixture
def config(folder):
    """The sample model with slices, so that their panels have series too."""
    path = folder / "model.yaml"
    path.write_text(path.read_text().replace("monitor: {", "monitor: {slices: [kind], "))
    return load_model(folder)


@pytest.fixture
def gateway(config, ports, champion, tmp_path):
    """A gateway that serves the sample model from its real bundle."""
    settings = Settings.from_env({"HOMEOSTAT_HOME": str(tmp_path)})
    setup = GatewayFixture(ports, settings, config, tmp_path, options=FAST)
    with serving(setup, load=LOAD_BUNDLE) as client:
        client.ready("sample")
        yield client


@pytest.fixture
def prometheus(gateway, tmp_path, free_port):
    """Prometheus with the project's rules, which scrapes that gateway every second."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("Prometheus is not installed, so no alert is fired: apt-get install prometheus")
    settings = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    settings["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    settings["rule_files"] = [str(FOLDER / "alerts.yaml")]
    settings["scrape_configs"][0]["static_configs"] = [{"targets": [gateway.url.removeprefix("http://")]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(settings))
    port, log = free_port(), tmp_path / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=output,
            stderr=output,
        )
    found = Prometheus(f"http://127.0.0.1:{port}", process, log)
    try:
        yield found
    finally:
        found.http.close()
        process.terminate()
        process.wait(30)


def check(config, ports, hours):
    check_drift(config, ports, T0 + hours * HOUR)
    [*_, record] = ports.history.windows("sample")
    return record


def dashboard_queries():
    panels = json.loads((FOLDER / "grafana" / "homeostat.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def filled(query):
    return query.replace("$model", ".*").replace("$__rate_interval", "1m")


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_model_decays_and_its_alert_fires_and_every_panel_has_series(config, ports, gateway, prometheus):
    serve(config, ports, rows_between(T0, T0 + 6 * HOUR, seed=1), gateway="g1")
    assert check(config, ports, 6).performance == "pass"
    scraped = 'homeostat_check_verdict{kind="performance", verdict="pass"} == 1'
    prometheus.until("the check that passed is scraped", lambda: prometheus.query(scraped))
    prometheus.until("other alerts are evaluated", prometheus.alerts)  # the sample's clock is months behind
    assert not {DECAYED, "HomeostatPerformanceDecayed"} & set(prometheus.alerts())
    queries = dashboard_queries()
    assert len(queries) > 30

    def complete() -> bool:
        gateway.score({"a": 0.1, "b": 0.2, "kind": "red", "unit": "u1"}, model="sample")
        queries[:] = [query for query in queries if not prometheus.query(filled(query))]
        return not queries

    prometheus.until(("every panel has series, which these lack", queries), complete)

    serve(config, ports, rows_between(T0 + 6 * HOUR, T0 + 12 * HOUR, seed=2, flip=True), gateway="g2")
    record = check(config, ports, 12)
    assert record.performance == "alert"
    alert = prometheus.until("the alert fires", lambda: prometheus.alerts().get(DECAYED))
    assert alert["labels"] == {"alertname": DECAYED, "model": "sample", "severity": "critical"}
    assert float(alert["value"]) == pytest.approx(record.decay)
    docs = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["global"]["external_labels"]["docs_url"]
    assert alert["annotations"]["runbook_url"] == f"{docs}/runbook.md#{DECAYED.lower()}"
    assert alert["annotations"]["summary"] == "sample predicts far worse than on its holdout"
