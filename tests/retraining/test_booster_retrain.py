"""A model of each booster goes through a whole retrain: fit, bundle, gate, registration, promotion."""

from datetime import timedelta

import pytest

from homeostat.bundle.boosters.known import library_of
from homeostat.bundle.boosters.labels import unwrapped
from homeostat.bundle.committee import Committee
from homeostat.config import load_model
from homeostat.storage.bundles import load_version
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
