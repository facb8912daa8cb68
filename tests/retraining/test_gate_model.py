"""The gate of a model that another pipeline logged: evaluated, registered, rolled out; or refused."""

from datetime import timedelta

import pytest

from homeostat.config.errors import (
    ConfigError,
    DataError,
    NotFound,
    Refused,
    SignatureMismatch,
    Superseded,
    Untrusted,
)
from homeostat.ports import OtherModel
from homeostat.retraining.gate_model import gate_model
from homeostat.rollouts.registered import begin_registered, end_registered, rollout_of
from homeostat.storage.bundles import load_reference, load_version
from homeostat.storage.retrain_outcome import find_outcome
from homeostat.storage.retrain_request import ImportedModel, RetrainRequest, load_request
from homeostat.storage.version_info import load_version_info
from mlflow_models import fitted, save
from sample_model import T0, follow_to_the_end, load_as_gateway, notices, retrain, rows_between

pytestmark = pytest.mark.usefixtures("quick")
URI = "models:/theirs/7"
UNTIL = T0 - timedelta(days=1)
TRAINED = rows_between(T0 - timedelta(days=5), UNTIL, seed=3)
FEATURES = ["a", "b", "kind"]


@pytest.fixture
def log_model(ports, tmp_path):
    """Log a model in the fake registry, fitted by another team on rows of its own."""

    def make(flavor="pipeline", *, rows=TRAINED, label="y", names=FEATURES, uri=URI, known=True, **how):
        model, _ = fitted(flavor, rows[names], rows[label] if isinstance(label, str) else label)
        folder = save(flavor, model, tmp_path / f"model{len(list(tmp_path.iterdir()))}", **how)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        facts = {"trained_until": UNTIL.isoformat(), "training_rows": len(rows)} if known else {}
        ports.registry.others[uri] = (OtherModel(uri, "theirs", "7", **facts), files)
        return model

    return make


def of(key="gate 1", **given):
    imported = ImportedModel(**{"uri": URI, **given})
    return RetrainRequest(run_key=key, trigger_id=f"import/{key}", imported=imported)


def test_the_first_version_may_come_from_another_pipeline(config, ports, log_model):
    model = log_model()
    (config.folder / "pipeline.py").unlink()  # nothing of this model is fitted here
    found = gate_model(config, of(), ports)
    assert (found["verdict"], found["version"], found["champion_version"]) == ("passed", "1", None)
    assert found["reasons"] == []
    holdout = rows_between(T0 - timedelta(days=5), T0)
    holdout = holdout[(holdout["at"] >= UNTIL) & (holdout["at"] < T0 - timedelta(hours=1))]
    assert found["holdout"] == len(holdout)
    expected = (model.predict(holdout[FEATURES]) == holdout["y"]).mean()
    assert found["metrics"]["candidate"]["accuracy"] == pytest.approx(expected)

    begun = begin_registered(config, "1", ports)
    assert begun["champion"] is False
    load_as_gateway(config.name, ports.ledger, ports.clock.now())
    ended = end_registered(config, rollout_of(config, "1", ports), ports)
    assert (ended["champion"], ended["outcome"]) == (True, "promoted")
    champion = ports.ledger.read(config.name).champion
    predictor = load_version(ports, config, champion.digest).predictor
    assert predictor.predict(holdout).prediction.tolist() == model.predict(holdout[FEATURES]).tolist()
    assert load_reference(ports, config.name, champion.digest).profile.rows == len(holdout)


def test_a_better_model_passes_and_is_rolled_out_over_a_champion(config, ports, champion, log_model):
    log_model()
    found = gate_model(config, of(), ports)
    assert (found["verdict"], found["version"], found["champion_version"]) == ("passed", "2", "1")
    assert set(found["metrics"]) == {"candidate", "champion"}
    assert found["metrics"]["champion"]["accuracy"] > 0.9
    version = ports.registry.version(config.name, "2")
    assert version.tags["homeostat.gate"] == "passed"
    assert version.tags["homeostat.model_uri"] == found["model_uri"] == URI
    run = ports.registry.runs[version.run_id]
    assert run.tags["homeostat.gate"] == "passed"
    assert run.params["model_uri"] == URI
    assert "gate.json" in run.artifacts
    info = load_version_info(ports.store, config.name, version.digest)
    assert (info["training_rows"], info["trained_until"]) == (len(TRAINED), UNTIL.isoformat())

    begun = begin_registered(config, "2", ports)
    assert begun["phase"] == "registered"
    ended = follow_to_the_end(config, ports, {**begun, "run_key": rollout_of(config, "2", ports)})
    assert ended["outcome"] == "refused", "without traffic there is no evidence"
    again = begin_registered(config, "2", ports)
    assert (again["outcome"], again["champion"]) == ("refused", False)


def test_a_worse_model_is_refused_as_a_retrain_is(config, ports, champion, log_model):
    log_model(label=1 - TRAINED["y"])
    found = gate_model(config, of(), ports)
    assert (found["verdict"], found["version"]) == ("refused", "")
    (reason,) = found["reasons"]
    assert reason.startswith("metric: accuracy")
    assert "gate.max_regression" in reason
    assert found["sentence"].endswith("Version 1 stays champion.")
    assert find_outcome(ports.store, config.name, "gate 1").stage == "gate"
    assert notices(ports) == ["refused"]
    assert [each.version for each in ports.registry.versions(config.name)] == ["1"]


def test_a_repeated_call_changes_nothing_and_a_later_one_makes_a_version_of_its_own(
    config, ports, champion, log_model
):
    log_model()
    first = gate_model(config, of(), ports)
    log_model(label=1 - TRAINED["y"])  # the alias was moved meanwhile
    assert gate_model(config, of(), ports) == first
    log_model()
    assert gate_model(config, of("gate 2"), ports)["version"] == "3"


def test_a_retrain_can_follow_and_compares_with_the_imported_champion(config, ports, log_model, ask):
    log_model()
    gate_model(config, of(), ports)
    begin_registered(config, "1", ports)
    load_as_gateway(config.name, ports.ledger, ports.clock.now())
    end_registered(config, rollout_of(config, "1", ports), ports)
    ended = retrain(config, ports, ask(), to_the_end=False)
    assert (ended["version"], ended["phase"]) == ("2", "registered")


def test_the_lease_is_free_after_the_gate_and_held_during_the_rollout(
    config, ports, champion, log_model, ask
):
    log_model()
    gate_model(config, of(), ports)
    now = ports.clock.now()
    assert ports.ledger.acquire_lease(config.name, "t", "another", now, timedelta(hours=1)).granted
    with pytest.raises(Superseded, match="another is retraining sample"):
        begin_registered(config, "2", ports)
    with pytest.raises(Superseded, match="another is retraining sample"):
        gate_model(config, of("gate 2"), ports)
    ports.ledger.release_lease(config.name, "another")
    begin_registered(config, "2", ports)
    assert not ports.ledger.acquire_lease(config.name, "u", "another", now, timedelta(hours=1)).granted


def test_a_holdout_of_its_own_is_used_whole(config, ports, champion, log_model):
    log_model(known=False)
    table = rows_between(T0 - timedelta(days=30), T0 - timedelta(days=29), seed=9)
    table.to_parquet(config.folder / "holdout.parquet")
    given = {"holdout": str(config.folder / "holdout.parquet"), "training_rows": 5000}
    found = gate_model(config, of(**given), ports)
    assert (found["verdict"], found["holdout"]) == ("passed", len(table))
    digest = ports.registry.version(config.name, "2").digest
    assert load_version_info(ports.store, config.name, digest)["trained_until"] is None


def test_what_it_has_learned_must_be_known(config, ports, log_model):
    log_model(known=False)
    with pytest.raises(
        ConfigError, match=r"theirs/7: it is not known which rows it has learned.*trained_until"
    ):
        gate_model(config, of(), ports)
    found = gate_model(config, of("gate 2", trained_until=UNTIL.isoformat()), ports)
    assert found["verdict"] == "refused"
    (reason,) = found["reasons"]
    assert reason.startswith(
        "training_rows: the number of rows is not known: log the training data in MLflow"
    )
    found = gate_model(config, of("gate 3", trained_until=UNTIL.isoformat(), training_rows=300), ports)
    assert found["verdict"] == "passed"


def test_rows_that_it_has_learned_are_not_in_the_holdout(config, ports, log_model):
    log_model()
    with pytest.raises(DataError, match=r"0 usable labelled rows from .* monitor.min_rows is 60"):
        gate_model(config, of(trained_until=T0.isoformat()), ports)
    assert ports.ledger.acquire_lease("sample", "t", "x", T0, timedelta(hours=1)).granted, "the lease is free"


@pytest.mark.parametrize("case", ["pickle", "columns", "labels"])
def test_a_model_that_cannot_be_a_candidate_fails_with_the_reason(config, ports, champion, log_model, case):
    if case == "pickle":
        log_model(serialization_format="cloudpickle", skops_trusted_types=None)
        error, says = Untrusted, "model.pkl was saved as cloudpickle"
    elif case == "columns":
        log_model("sklearn", rows=TRAINED.rename(columns={"a": "amount"}), names=["amount", "b"])
        error, says = SignatureMismatch, "takes the column 'amount'"
    else:
        log_model(label=TRAINED["y"].map({0: "stays", 1: "leaves"}))
        error, says = SignatureMismatch, "predicts the classes leaves, stays, and the labels .* 0, 1"
    with pytest.raises(error, match=says):
        gate_model(config, of(), ports)
    outcome = find_outcome(ports.store, config.name, "gate 1")
    assert (outcome.outcome, outcome.stage) == ("failed", "train")
    assert ports.ledger.acquire_lease("sample", "t", "x", T0, timedelta(hours=1)).granted, "the lease is free"
    assert ports.ledger.read(config.name).champion.version == "1"


def test_classes_name_the_labels_of_a_model_of_numbers(config, ports, log_model):
    path = config.folder / "rows.csv"
    path.write_text(path.read_text().replace(",1\n", ",leaves\n").replace(",0\n", ",stays\n"))
    log_model("xgboost")
    with pytest.raises(SignatureMismatch, match="give the label of each class"):
        gate_model(config, of(), ports)
    found = gate_model(config, of("gate 2", classes=("stays", "leaves")), ports)
    assert found["verdict"] == "passed"
    assert load_request(ports.store, config.name, "gate 2").imported.classes == ("stays", "leaves")


def test_a_rollout_needs_a_version_that_passed_here(config, ports, champion):
    with pytest.raises(NotFound, match="sample has no version 9"):
        begin_registered(config, "9", ports)
    assert begin_registered(config, "1", ports)["champion"] is True
    ports.registry.tag(config.name, "1", {"homeostat.run_key": "elsewhere"})
    with pytest.raises(
        Refused, match=r"not registered by this installation.*GateOperator\(model_uri='models:/sample/1'"
    ):
        begin_registered(config, "1", ports)
    ports.registry.tag(config.name, "1", {"homeostat.gate": "refused"})
    with pytest.raises(Refused, match="never passed its gate"):
        begin_registered(config, "1", ports)


def test_a_batch_model_is_promoted_at_once(folder, ports, log_model):
    from homeostat.config import load_model

    with (folder / "model.yaml").open("a") as file:
        file.write("serve: none\n")
    config = load_model(folder)
    log_model()
    gate_model(config, of(), ports)
    assert begin_registered(config, "1", ports)["champion"] is True


def test_it_is_stored_as_onnx_where_model_yaml_asks_for_it(folder, ports, log_model):
    from homeostat.config import load_model

    path = folder / "model.yaml"
    path.write_text(path.read_text().replace("min_rows: 200}", "min_rows: 200, serving_format: onnx}"))
    config = load_model(folder)
    model = log_model("sklearn", names=["a", "b"])
    found = gate_model(config, of(), ports)
    assert found["verdict"] == "passed"
    bundle = load_version(ports, config, ports.registry.version(config.name, "1").digest)
    assert bundle.manifest["serving_format"] in ("onnx", "skops")
    rows = rows_between(T0, T0 + timedelta(hours=2))
    assert bundle.predictor.predict(rows).prediction.tolist() == model.predict(rows[["a", "b"]]).tolist()
