"""Run the commands of docs/gateway.md and compare what they print."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from homeostat.config import Settings
from homeostat.core.rollout import VersionRef
from homeostat.serving.runtime import LOAD_BUNDLE
from serving.gateway_harness import make_gateway_fixture, serving

PAGE = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## Protocols\n")[2].partition("\n## ")[0]


def commands():
    """Each command of the page's console blocks with the lines that it should print."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines, command, quoted = entry.splitlines(), [], True
            while quoted or command[-1].endswith("\\"):
                command.append(lines.pop(0))
                quoted = "".join(command).count("'") % 2 == 1
            found.append(("\n".join(command), "\n".join(lines)))
    return found


COMMANDS = commands()
MODEL = """
name: bike_demand
task: classification
pipeline: pipeline.py:build
source: {kind: predictions}
schema:
  label: {name: high_demand}
  features:
    temp: {type: number}
    hum: {type: number}
    season: {type: category, categories: ["1", "2", "3", "4"]}
"""
PIPELINE = """
def build():
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((encode, ["season"]), remainder="passthrough")
    return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=20))
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A gateway with the page's model, trained and written as any other."""
    from homeostat.bundle.evaluate import make_reference
    from homeostat.bundle.files import write_bundle
    from homeostat.bundle.predictor import Predictor
    from homeostat.retraining.fit import fit

    home = tmp_path_factory.mktemp("page")
    folder = home / "include" / "models" / "bike_demand"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(MODEL)
    (folder / "pipeline.py").write_text(PIPELINE)
    config = Settings.from_env({"HOMEOSTAT_HOME": str(home)}).load_model("bike_demand")
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"temp": rng.random(400), "hum": rng.random(400)})
    frame["season"] = rng.choice(["1", "2", "3", "4"], 400)
    frame["high_demand"] = (frame["temp"] > 0.5).astype(int)
    frame["timestamp"] = pd.date_range("2026-01-01", periods=400, freq="min", tz="UTC")
    estimator = fit(config, frame, None)
    reference = make_reference(config, Predictor.of(config, estimator), frame)
    digest = write_bundle(home / "bundle", config, estimator, reference, {})
    setup = make_gateway_fixture(home, config)
    registry = setup.ports.registry
    run = registry.start_run(config.name, "run-1", name="train", tags={})
    tags = {"homeostat.gate": "passed"}
    version = registry.register(config.name, "run-1", run, home / "bundle", digest, tags).version
    setup.begin(VersionRef(version, digest))
    with serving(setup, load=LOAD_BUNDLE) as client:
        client.ready("bike_demand")
        yield client


def test_the_docs_show_every_protocol():
    asked = "\n".join(command for command, _ in COMMANDS)
    for each in (
        "dataframe_split",
        "dataframe_records",
        "instances",
        "inputs",
        "params",
        "text/csv",
        "/ping",
    ):
        assert each in asked
    for each in ("/v2/models/bike_demand/infer", "/versions/", "/labels", "X-Request-Id", "/v2/health/ready"):
        assert each in asked
    assert len(COMMANDS) >= 15


@pytest.mark.skipif(
    shutil.which("curl") is None, reason="curl is not installed: the page's lines are not run"
)
@pytest.mark.parametrize(("command", "printed"), COMMANDS)
def test_a_command_of_the_docs_prints_what_they_show(served, tmp_path, command, printed):
    assert "127.0.0.1:8000" in command
    line = command.replace("http://127.0.0.1:8000", served.url).replace("curl ", "curl --noproxy '*' ")
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True
    )
    if printed.startswith("{"):
        assert json.loads(done.stdout) == json.loads(printed)
    else:
        assert done.stdout.replace("\r", "").strip() == printed


# MLflow's own warning, as it is imported
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")
def test_the_python_of_the_docs_runs(served, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (code,) = re.findall(r"^```python\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    assert "127.0.0.1:8000" in code
    exec(compile(code.replace("http://127.0.0.1:8000", served.url), "docs/gateway.md", "exec"), {})  # noqa: S102  # our own page
