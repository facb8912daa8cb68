"""Class probabilities and thresholded predictions over HTTP equal those of the estimator itself."""

import numpy as np
import pandas as pd
import pytest

from homeostat.bundle.evaluate import make_reference
from homeostat.bundle.files import tree_digest, write_bundle
from homeostat.bundle.predictor import Predictor
from homeostat.core.rollout import VersionRef
from homeostat.serving.inference.scoring import ClassProbabilities, merged_probabilities
from serving.gateway_harness import make_gateway_fixture, model_config, serving

ROWS = [[0.3, -1.0], [2.0, 0.1], [None, 0.4]]
SCHEMA = {
    "label": {"name": "y", "positive": "worn"},
    "features": {"a": {"type": "number"}, "b": {"type": "number"}},
}


@pytest.fixture(scope="module")
def estimator():
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(300, 2))
    return HistGradientBoostingClassifier(max_iter=10).fit(
        numbers, np.where(numbers[:, 0] > 0.2, "worn", "fine")
    )


@pytest.fixture(scope="module", params=[None, 0.02], ids=["largest", "threshold"])
def served(request, tmp_path_factory, estimator):
    """A gateway that serves the estimator, and the threshold of the model."""
    folder = tmp_path_factory.mktemp("gateway")
    more = {} if request.param is None else {"threshold": request.param}
    config = model_config(schema=SCHEMA, **more)
    setup = make_gateway_fixture(folder, config)
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(50, 2)), columns=["a", "b"])
    reference = make_reference(config, Predictor.of(config, estimator), frame)
    write_bundle(folder / "bundle", config, estimator, reference, {})
    digest = tree_digest(folder / "bundle")
    run = setup.ports.registry.start_run("pump", "key", name="train", tags={})
    found = setup.ports.registry.register(
        "pump", "key", run, folder / "bundle", digest, {"homeostat.gate": "passed"}
    )
    setup.begin(VersionRef(found.version, digest))
    with serving(setup, load="homeostat.bundle.files:load_bundle") as client:
        client.ready()
        yield client, request.param


def expected(estimator, threshold):
    proba = estimator.predict_proba(np.array(ROWS, dtype=float))
    worn = proba[:, 1] >= (0.5 if threshold is None else threshold)
    return proba.tolist(), np.where(worn, "worn", "fine").tolist()


def post(client, params=None):
    body = {"instances": ROWS} | ({"params": params} if params is not None else {})
    return client.http.post("/models/pump/invocations", json=body)


def test_mlflow_params_ask_for_probabilities_and_classes(served, estimator):
    client, threshold = served
    proba, predicted = expected(estimator, threshold)
    assert post(client).json() == {"predictions": predicted}
    assert post(client, {"predict_proba": True}).json() == {"predictions": proba}
    assert post(client, {"predict_proba": True, "classes": True}).json() == {
        "predictions": proba,
        "classes": ["fine", "worn"],
    }
    assert post(client, {"classes": True}).json() == {"predictions": predicted, "classes": ["fine", "worn"]}
    for ignored in ({}, {"other": 1}, {"predict_proba": False}, [], "x", None):
        assert post(client, ignored).json() == {"predictions": predicted}


@pytest.mark.parametrize("value", ["yes", 1, None, [True]], ids=repr)
def test_other_values_than_true_and_false_are_refused(served, value):
    client, _ = served
    found = post(client, {"predict_proba": value})
    assert found.status_code == 400
    assert "'predict_proba': expected true or false" in found.json()["message"]


def test_open_inference_responses_always_have_them(served, estimator):
    client, threshold = served
    proba, predicted = expected(estimator, threshold)
    tensor = {"name": "all", "shape": [3, 2], "datatype": "FP64", "data": ROWS}
    outputs = client.http.post("/v2/models/pump/infer", json={"inputs": [tensor]}).json()["outputs"]
    found = {each["name"]: each for each in outputs}
    assert list(found) == ["predict", "confidence", "probabilities", "classes"]
    assert found["predict"]["data"] == predicted
    assert found["probabilities"]["shape"] == [3, 2]
    assert np.reshape(found["probabilities"]["data"], (3, 2)).tolist() == proba
    assert (found["classes"]["datatype"], found["classes"]["data"]) == ("BYTES", ["fine", "worn"])
    own = [row[["fine", "worn"].index(label)] for row, label in zip(proba, predicted, strict=True)]
    assert found["confidence"]["data"] == own
    chosen = {"inputs": [tensor], "outputs": [{"name": "probabilities"}]}
    [only] = client.http.post("/v2/models/pump/infer", json=chosen).json()["outputs"]
    assert only["name"] == "probabilities"


def test_a_regression_has_no_probabilities_and_says_so(tmp_path):
    setup = make_gateway_fixture(tmp_path, model_config(task="regression"))
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        body = {"dataframe_records": [{"a": 1.0, "b": 1.0}], "params": {"predict_proba": True}}
        body["dataframe_records"][0] |= {"colour": "red", "old": None}
        found = client.http.post("/models/pump/invocations", json=body)
        assert found.status_code == 400
        assert "no class probabilities" in found.json()["message"]


def test_rows_of_two_versions_are_merged_by_class():
    one = ClassProbabilities(("a", "b"), np.array([[0.25, 0.75], [1.0, 0.0]]))
    two = ClassProbabilities(("b", "c"), np.array([[0.5, 0.5]]))
    merged = merged_probabilities(3, [([0, 2], one), ([1], two)])
    assert merged is not None
    assert merged.classes == ("a", "b", "c")
    assert merged.proba.tolist() == [[0.25, 0.75, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]
    assert merged_probabilities(3, [([0, 2], one), ([1], None)]) is None
