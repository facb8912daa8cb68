"""A model of each booster goes through a whole retrain: fit, bundle, gate, registration, promotion."""

from datetime import timedelta

import pytest

from homeostat.bundle.boosters.known import library_of
from homeostat.bundle.boosters.labels import unwrapped
from homeostat.bundle.committee import Committee
from homeostat.bundle.onnx_format.model import OnnxModel
from homeostat.config import load_model
from homeostat.storage.bundles import load_version
from homeostat.storage.step_results import load_result
from sample_model import MODEL, T0, retrain, rows_between

pytestmark = pytest.mark.usefixtures("quick")
PIPELINES = {
    "xgboost": "from xgboost import XGBClassifier\n    return XGBClassifier(n_estimators=20)",
    "lightgbm": "from lightgbm import LGBMClassifier\n"
    "    return LGBMClassifier(n_estimators=200, early_stopping_round=5)",
    "catboost": "from catboost import CatBoostClassifier\n    return CatBoostClassifier(iterations=20)",
}


def rows():
    frame = rows_between(T0 - timedelta(days=5), T0, per_hour=20)
    return frame.assign(y=frame["y"].map({0: "fine", 1: "worn"}))


@pytest.mark.parametrize("window", ["{kind: sliding, length: 10d}", "{kind: auto}"], ids=["one", "committee"])
@pytest.mark.parametrize("library", PIPELINES)
def test_a_booster_with_texts_as_labels_is_retrained_and_promoted(folder, ports, ask, library, window):
    text = MODEL.replace("{name: y, delay: 1h}", "{name: y, delay: 1h, positive: worn}")
    text = text.replace("{kind: sliding, length: 10d}", window)
    (folder / "model.yaml").write_text(f"{text}threshold: 0.4\n")
    (folder / "pipeline.py").write_text(f"def build():\n    {PIPELINES[library]}\n")
    rows().to_csv(folder / "rows.csv", index=False)
    config = load_model(folder)
    retrain(config, ports, ask())
    champion = ports.ledger.read("sample").champion
    bundle = load_version(ports, config, champion.digest)
    estimator = bundle.predictor.estimator
    assert isinstance(estimator, Committee) == ("auto" in window)
    assert library_of(unwrapped(estimator).steps[-1][1]) == library
    assert (bundle.manifest["threshold"], bundle.manifest["positive"]) == (0.4, "worn")
    found = bundle.predictor.predict(rows())
    assert (found.prediction == rows()["y"]).mean() > 0.9
    assert (found.prediction == "worn").tolist() == (found.proba[:, 1] >= 0.4).tolist()


@pytest.mark.parametrize("window", ["{kind: sliding, length: 10d}", "{kind: auto}"], ids=["one", "committee"])
def test_a_model_is_served_as_onnx_where_it_predicts_the_same(folder, ports, ask, window):
    text = MODEL.replace("{kind: sliding, length: 10d}", window)
    text = text.replace("training: {", "training: {serving_format: onnx, ")
    (folder / "model.yaml").write_text(text)
    rows().assign(y=rows()["y"].eq("worn").astype(int)).to_csv(folder / "rows.csv", index=False)
    config = load_model(folder)
    assert config.training.serving_format == "onnx"
    asked = ask()
    retrain(config, ports, asked)
    bundle = load_version(ports, config, ports.ledger.read("sample").champion.digest)
    estimator = bundle.predictor.estimator
    members = estimator.members if isinstance(estimator, Committee) else [estimator]
    assert {type(each) for each in members} == {OnnxModel}
    assert bundle.manifest["serving_format"] == "onnx"
    assert "stored as ONNX" in load_result(ports.store, "sample", asked.run_key, "train")["sentence"]
    assert (bundle.predictor.predict(rows()).prediction == rows()["y"].eq("worn")).mean() > 0.9
