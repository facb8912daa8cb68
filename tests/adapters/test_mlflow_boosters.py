"""MLflow's own loader reads a version with a booster from the files that are uploaded for it."""

import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from bundle_fixtures import model, rows
from homeostat.adapters.mlflow_bundle import _write_mlmodel
from homeostat.bundle.evaluate import make_reference
from homeostat.bundle.files import write_bundle
from homeostat.bundle.predictor import Predictor
from homeostat.retraining.fit import fit

__all__ = ["model", "rows"]
CLASSES = {"xgboost": "XGBClassifier", "lightgbm": "LGBMClassifier", "catboost": "CatBoostClassifier"}


@pytest.mark.parametrize("library", CLASSES)
def test_mlflow_predicts_the_same_labels(model, rows, tmp_path, library):
    name = CLASSES[library]
    code = f"def build():\n    from {library} import {name}\n    return {name}(n_estimators=10)\n"
    config, frame = model(code, category=True), rows(labels=("fine", "worn"))
    predictor = Predictor.of(config, fit(config, frame, None))
    folder = tmp_path / "bundle"
    write_bundle(folder, config, predictor.estimator, make_reference(config, predictor, frame), {})
    logged = SimpleNamespace(model_id="m-1", artifact_location="somewhere")
    _write_mlmodel(folder, json.loads((folder / "manifest.json").read_text()), logged, "run")
    with warnings.catch_warnings():  # MLflow's, which warns while it is imported
        warnings.simplefilter("ignore")
        import mlflow.pyfunc

        found = mlflow.pyfunc.load_model(str(folder)).predict(
            frame[["a", "b", "kind"]].astype({"kind": object})
        )
    assert np.asarray(found).ravel().tolist() == predictor.predict(frame).prediction.tolist()
