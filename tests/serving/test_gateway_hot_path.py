"""The hot path builds no DataFrame when the pipeline needs no names, and predicts as mlflow.pyfunc does."""

import json
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import orjson
import pandas as pd
import pytest

from homeostat.bundle.inputs import typed_inputs
from homeostat.bundle.predictor import Predictor
from homeostat.bundle.trusted_types import TRUSTED_TYPES
from homeostat.config import ModelConfig
from homeostat.serving import responses as encode
from homeostat.serving.inference.scoring import ScoredRequest, make_scorer, score
from homeostat.serving.scoring_request import InputSpec, parse

FEATURES = ("a", "b", "c")


def labels(kind, values):
    high = np.nan_to_num(values[:, 0]) + np.nan_to_num(values[:, 1])
    return {
        "numbers": lambda: high + 0.1,
        "whole": lambda: (high > 0).astype(int),
        "text": lambda: np.where(high > 0.5, "high", np.where(high < -0.5, "low", "middle")),
    }[kind]()


def estimator_of(kind):
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    if kind == "numbers":
        return HistGradientBoostingRegressor(max_iter=8)
    if kind == "whole":
        return make_pipeline(HistGradientBoostingClassifier(max_iter=8))
    return make_pipeline(SimpleImputer(), LogisticRegression())


@pytest.fixture(scope="module", params=["numbers", "whole", "text"])
def served(request, tmp_path_factory):
    """The same model, loaded by the gateway and by MLflow."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(300, 3))
    values[rng.random(values.shape) < 0.15] = np.nan
    estimator = estimator_of(request.param).fit(values, labels(request.param, values))
    config = ModelConfig.model_validate(
        {
            "name": "hot",
            "task": "regression" if request.param == "numbers" else "classification",
            "pipeline": "pipeline.py:build",
            "source": {"kind": "predictions"},
            "schema": {
                "label": {"name": "y"},
                "features": {name: {"type": "number"} for name in FEATURES},
            },
        }
    )
    predictor = Predictor.of(config, estimator)
    assert predictor.as_matrix
    classes = None if predictor.classes is None else predictor.classes.tolist()
    spec = InputSpec.of(config)
    scorer = make_scorer("1", "d", predictor, {"classes": classes}, spec)
    return scorer, spec, as_pyfunc(estimator, tmp_path_factory.mktemp("hot") / "mlflow")


def as_pyfunc(estimator, folder):
    with warnings.catch_warnings():  # MLflow's, which warns while it is imported
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
        import mlflow.sklearn
        from mlflow.models.signature import ModelSignature
        from mlflow.types import ColSpec, Schema

        mlflow.sklearn.save_model(
            estimator,
            folder,
            signature=ModelSignature(Schema([ColSpec("double", name, required=False) for name in FEATURES])),
            serialization_format="skops",
            skops_trusted_types=sorted(TRUSTED_TYPES),
            pip_requirements=[],
        )
        return mlflow.pyfunc.load_model(str(folder))


def drawn(rng, count):
    values = rng.normal(size=(count, 3))
    values[rng.random(values.shape) < 0.3] = np.nan
    return values


def sent(values, form):
    rows = [[None if np.isnan(v) else v for v in row] for row in values.tolist()]
    records = [dict(zip(FEATURES, row, strict=True)) for row in rows]
    return json.dumps(
        {
            "dataframe_split": {"dataframe_split": {"columns": list(FEATURES), "data": rows}},
            "dataframe_records": {"dataframe_records": records},
            "instances": {"instances": rows},
        }[form]
    ).encode()


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "instances"])
def test_random_rows_get_the_predictions_of_mlflow_pyfunc_and_no_dataframe_is_built(
    served, form, monkeypatch
):
    scorer, spec, pyfunc = served
    rng = np.random.default_rng(11)
    requests = [drawn(rng, int(count)) for count in rng.integers(1, 9, size=40)]
    expected = [pyfunc.predict(pd.DataFrame(values, columns=FEATURES)) for values in requests]

    def never(*_, **__):
        raise AssertionError("a DataFrame was built")

    with monkeypatch.context() as patched:
        patched.setattr(pd.DataFrame, "__init__", never)
        patched.setattr(pd.Series, "__init__", never)
        batch = [parse(sent(values, form), spec) for values in requests]
        # As one batch, and each by itself, in another thread as the gateway does it.
        with ThreadPoolExecutor(1) as pool:
            together = pool.submit(score, scorer, batch).result()
        alone = [score(scorer, [rows])[0] for rows in batch]
        answers = [encode.predictions(each.predictions) for each in together]
    assert all(isinstance(each, ScoredRequest) and each.valid for each in together)
    assert [each.predictions for each in together] == [each.predictions for each in alone]
    assert [orjson.loads(body)["predictions"] for body in answers] == [e.tolist() for e in expected]


def test_a_pipeline_that_needs_names_gets_the_frame_that_it_was_fitted_on():
    kinds = {"a": "number", "colour": "category", "b": "number", "place": "category"}
    config = ModelConfig.model_validate(
        {
            "name": "framed",
            "task": "regression",
            "pipeline": "pipeline.py:build",
            "source": {"kind": "predictions"},
            "schema": {
                "label": {"name": "y"},
                "features": {name: {"type": kind} for name, kind in kinds.items()},
            },
        }
    )
    seen = []

    class Seen:
        def predict(self, frame):
            seen.append(frame)
            return np.zeros(len(frame))

    spec = InputSpec.of(config)
    predictor = Predictor.of(config, Seen())
    scorer = make_scorer("1", "d", predictor, {}, spec)
    rows = [[1.0, "red", 2, None], [None, None, 3.5, "x"]]
    for count in (1, 2):
        body = {"dataframe_split": {"columns": list(kinds), "data": rows[:count]}}
        score(scorer, [parse(json.dumps(body).encode(), spec)] * count)
    raw = pd.DataFrame(rows, columns=list(kinds))
    pd.testing.assert_frame_equal(seen[0], typed_inputs(raw[:1], kinds, as_matrix=False))
    both = pd.concat([raw, raw], ignore_index=True)
    pd.testing.assert_frame_equal(seen[1], typed_inputs(both, kinds, as_matrix=False))
