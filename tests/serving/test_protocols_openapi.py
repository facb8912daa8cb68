"""The OpenAPI document is complete, and the API conforms to it (schemathesis)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.gateway_harness import TOKEN, make_gateway_fixture, model_config, serving

EXAMPLES = 10
AUTH = {"Authorization": f"Bearer {TOKEN}"}
HERE = Path(__file__).parent
CONFIG = """
headers = { Authorization = "Bearer %s" }
[checks.negative_data_rejection]
# 413 for too many rows is a refusal too; schemathesis does not know it as one.
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 415, 422, 431]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    config = model_config()
    label = config.columns.label.model_copy(update={"classes": ("0", "1"), "mapping": {"off": "0"}})
    columns = config.columns.model_copy(update={"label": label})
    setup = make_gateway_fixture(
        tmp_path_factory.mktemp("openapi"), config.model_copy(update={"columns": columns})
    )
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        yield client


def test_every_route_is_described_with_responses_errors_and_token(served):
    doc = served.http.get("/openapi.json", headers=AUTH).json()
    routes = {route.path for route in served.app.control.routes if getattr(route, "methods", None)}
    assert routes - set(doc["paths"]) == {
        *("/", "/overview", "/openapi.json", "/fleet", "/fleet/assets/{name:path}", "/approvals/{token}")
    }
    for path, item in doc["paths"].items():
        for method, operation in item.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert {"200", "401", "403", "413", "429", "503"} <= set(operation["responses"]), where
            assert ("422" in operation["responses"]) == path.endswith("/labels"), where
            for status, response in operation["responses"].items():
                (content,) = response["content"].values()
                assert content["schema"] or path == "/metrics", (where, status)
            if path not in ("/ping", "/health", "/v2/health/live", "/v2/health/ready"):
                assert {"HTTPBearer": []} in operation["security"], where
            assert {} not in operation["security"] or not path.startswith("/control"), where
            if method == "post" and "control" not in path:
                for content in operation["requestBody"]["content"].values():
                    # The body of a webhook is MLflow's, and signed: no example would be accepted.
                    assert content.get("examples") or path == "/webhooks/mlflow", where
    assert set(doc["components"]["schemas"]) >= {"pump.scoring", "pump.csv", "pump.infer", "pump.labels"}


def test_every_example_of_the_document_succeeds(served):
    doc = served.http.get("/openapi.json", headers=AUTH).json()
    count = 0
    for path, item in doc["paths"].items():
        for kind, content in item.get("post", {}).get("requestBody", {}).get("content", {}).items():
            for example in content.get("examples", {}).values():
                value = example["value"]
                body = value if isinstance(value, str) else json.dumps(value)
                url = path.replace("{model}", "pump").replace("{version}", "1")
                response = served.http.post(url, content=body, headers=AUTH | {"content-type": kind})
                assert response.status_code == 200, (path, kind, response.text)
                count += 1
    assert count == 9


@pytest.mark.slow
def test_schemathesis_finds_nothing(served, tmp_path):
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG % TOKEN)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
    options = [
        f"--max-examples={EXAMPLES}",
        "--checks=all",
        "--seed=1",
        "--continue-on-failure",
        "--no-color",
    ]
    done = subprocess.run(
        [*command, *options, f"{served.url}/openapi.json"],
        env=os.environ | {"SCHEMATHESIS_HOOKS": "serving.schemathesis_hooks", "PYTHONPATH": str(HERE.parent)},
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
