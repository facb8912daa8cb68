"""A wrong model.yaml or pipeline.py, reported on the command line."""

import json

import pytest

from homeostat.config import load_models
from homeostat.config.errors import ConfigError
from homeostat.storage.retrain_request import RetrainRequest
from sample_model import MODEL

pytestmark = pytest.mark.usefixtures("quick")

GRUMPY = """
from sklearn.dummy import DummyClassifier


class Grumpy(DummyClassifier):
    def predict(self, rows):
        raise RuntimeError("not today")

    predict_proba = predict


def build():
    return Grumpy()
"""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("name: sample", "name: [sample"), ("line", "not valid YAML")),
        (("monitor: {every: 1h", "monitor: {evry: 1h"), ("monitor.evry", "did you mean 'every'?")),
        (("trigger: {consecutive: 2", "trigger: {consecutive: -1"), ("trigger.consecutive", "-1")),
        (("a: {type: number}", "a: {type: nmber}"), ("schema.features.a.type", "'number'", "'nmber'")),
        (
            ("categories: [red, blue]", "categories: [Yes, No]"),
            ("line 13, schema.features.kind.categories", "as in ['Yes', 'No']"),
        ),
        (
            ("{name: y, delay: 1h}", "{name: y, mapping: {Yes: 1, No: 0}}"),
            ("line 9, schema.label.mapping", "as in {'Yes': 1, 'No': 0}"),
        ),
        (("name: sample", "name: a/b"), ("line 2, name", "'a/b'", "lower-case letters")),
        (("name: sample", "name: ../sample"), ("line 2, name", "'../sample'", "lower-case letters")),
        (("name: sample", "name: sample.v2"), ("line 2, name", "'sample.v2'", "lower-case letters")),
    ],
    ids=lambda value: value[1][:30] if isinstance(value[0], str) and len(value) == 2 else None,
)
@pytest.mark.parametrize("command", ["check", "retrain"])
def test_a_mistake_in_model_yaml_is_one_sentence_with_file_and_key(cli, folder, home, command, change, words):
    path = folder / "model.yaml"
    path.write_text(MODEL.replace(*change, 1))
    cli(command, "sample").refused("ConfigError", str(path), *words)
    assert not (home / "state").exists(), "refused before anything is written"


def test_a_second_model_of_the_same_name_is_refused_and_the_first_still_works(cli, folder, home):
    other = home / "models" / "sample2"
    other.mkdir()
    (other / "model.yaml").write_text(MODEL)
    with pytest.raises(ConfigError, match="no two models have the same name"):
        load_models(home / "models")
    cli("check", "sample2").refused(str(other / "model.yaml"), "name is 'sample' but the folder is 'sample2'")
    cli("check", "sample").refused("MLFLOW_TRACKING_URI")  # it got as far as MLflow, which is down


def test_a_gateway_skips_a_wrong_model_file_and_serves_the_others(home, monkeypatch, caplog):
    from homeostat.config import Settings
    from homeostat.serving.server.serve import readable_models

    other = home / "models" / "broken"
    other.mkdir()
    (other / "model.yaml").write_text("nme: broken\n")
    monkeypatch.setenv("HOMEOSTAT_MODELS", str(home / "models"))
    assert list(readable_models(Settings.from_env())) == ["sample"]
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert f"{other / 'model.yaml'}, line 1, nme: unknown key; did you mean 'name'?" in said


def test_a_broken_model_file_stops_no_other_model(cli, home, config):
    other = home / "models" / "broken"
    other.mkdir()
    (other / "model.yaml").write_text("}")
    assert cli("status", "sample").status == 0
    assert sorted(cli("status", "--json").json) == ["broken", "sample"]
    cli("check", "broken").refused(str(other / "model.yaml"), "not valid YAML")


def test_wrong_overrides_are_reported(cli, tmp_path, monkeypatch):
    path = tmp_path / "overrides.yaml"
    monkeypatch.setenv("HOMEOSTAT_OVERRIDES", str(path))
    cli("check", "sample").refused("HOMEOSTAT_OVERRIDES", str(path))
    path.write_text("sample: {shadow: {duraton: 1s}}")
    cli("check", "sample").refused("shadow.duraton", "did you mean 'duration'?")


@pytest.fixture
def by_hand(cli, monkeypatch, ports, rows, folder):
    """The command line over fakes, so that a retrain reaches the wrong step; no gateway has to load it."""
    from homeostat.cli.commands import check_retrain as loop

    rows()
    with (folder / "model.yaml").open("a") as file:
        file.write("serve: none\n")
    monkeypatch.setattr(loop, "build_ports", lambda settings, **_: ports)
    return lambda *more: cli("retrain", "sample", "--until", "2026-03-02T00:00Z", *more)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_package\n", ("pipeline.py, line 1", "cannot be imported", "no_such_package")),
        ("def build(:\n", ("pipeline.py, line 1", "cannot be imported", "SyntaxError")),
        ("def bild():\n    pass\n", ("pipeline.py", "no function 'build'", "its functions: bild")),
        ("def build():\n    return 5\n", ("pipeline.py:build", "returned 5", "unfitted scikit-learn")),
        ("def build():\n    return 1 / 0\n", ("pipeline.py:build", "ZeroDivisionError")),
        (
            GRUMPY,
            ("pipeline.py:build", "RuntimeError: not today"),
        ),
    ],
    ids=["import", "syntax", "name", "type", "build", "predict"],
)
def test_a_broken_pipeline_is_reported_and_registers_no_version(by_hand, folder, ports, code, words):
    (folder / "pipeline.py").write_text(code)
    said = by_hand()
    assert (said.status, said.out) == (1, "")
    assert "Traceback" not in said.err
    assert all(word in said.err for word in ("PipelineError", str(folder), *words)), said.err
    (run,) = ports.registry.runs.values()
    assert run.status == "FAILED"
    assert run.tags["homeostat.error"].startswith("PipelineError: ")
    assert ports.registry.versions("sample") == []
    assert ports.store.list("bundles/") == []
    assert not [key for key in ports.store.list("retrain/") if key.endswith("train.json")]
    assert ports.ledger.read("sample").revision == 0


def test_after_the_pipeline_is_fixed_the_next_retrain_succeeds(by_hand, folder, ports):
    good = (folder / "pipeline.py").read_text()
    (folder / "pipeline.py").write_text("import no_such_package\n")
    assert by_hand().status == 1
    (folder / "pipeline.py").write_text(good)
    said = by_hand("--json")
    assert (said.status, said.json["phase"]) == (0, "champion")


def test_a_refused_candidate_gives_json_and_exit_status_1(by_hand, ports):
    assert by_hand().status == 0
    said = by_hand("--pipeline", "pipeline.py:constant", "--json")
    assert said.status == 1
    assert (said.json["passed"], said.json["proceeds"]) == (False, False)
    assert [v.version for v in ports.registry.versions("sample")] == ["1"]
    assert by_hand("--pipeline", "other.py:build").err.strip().endswith("HistGradientBoostingClassifier()")


@pytest.mark.parametrize("window", ["0d", "5", "soon"])
def test_a_wrong_form_starts_nothing(config, ports, ask, window):
    from homeostat.retraining.assemble import assemble

    with pytest.raises(ConfigError, match="training_window"):
        assemble(config, ask(training_window=window), ports)
    with pytest.raises(ConfigError, match="until"):
        assemble(config, ask(until="gestern"), ports)
    assert ports.store.list("") == []
    assert not ports.registry.runs
    assert assemble(config, ask("run 2"), ports)["rows"], "no retrain holds the lease"


def test_a_retry_uses_the_rows_of_the_first_attempt(config, ports, ask):
    from datetime import timedelta

    from homeostat.retraining.assemble import assemble

    request: RetrainRequest = ask()
    ports.registry.down = True
    with pytest.raises(Exception, match="down"):
        assemble(config, request, ports)
    ports.registry.down = False
    ports.clock.advance(timedelta(hours=30))
    until = assemble(config, request, ports)["until"]
    assert until == "2026-03-01T23:00:00+00:00"
    (key,) = ports.store.list("snapshots/")
    assert key
    assert json.loads(ports.store.get(f"retrain/sample/{request.run_key}/request.json"))["until"]
