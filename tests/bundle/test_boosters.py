"""XGBoost, LightGBM and CatBoost: stored in their own formats, loaded to the same predictions."""

import hashlib
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest

from homeostat.bundle.boosters.known import BOOSTERS, library_of
from homeostat.bundle.evaluate import make_reference
from homeostat.bundle.files import load_bundle, write_bundle
from homeostat.bundle.inputs import takes_matrix
from homeostat.bundle.predictor import Predictor
from homeostat.config.errors import MissingExtra, PipelineError
from homeostat.retraining.fit import fit, label_array

SMALL = {"xgboost": "n_estimators=15", "lightgbm": "n_estimators=15", "catboost": "iterations=15"}
CLASSIFIERS = {"xgboost": "XGBClassifier", "lightgbm": "LGBMClassifier", "catboost": "CatBoostClassifier"}
REGRESSORS = {"xgboost": "XGBRegressor", "lightgbm": "LGBMRegressor", "catboost": "CatBoostRegressor"}
FIRST_BYTES = {"xgboost": b'{"learner":', "lightgbm": b"tree\n", "catboost": b"CBM1"}


def code(library, *, task="classification", more="", around="{}"):
    """The text of a pipeline.py with one booster; ``around`` is what stands around it."""
    name = (CLASSIFIERS if task == "classification" else REGRESSORS)[library]
    booster = f"{name}({SMALL[library]}, {more})"
    return (
        "def build():\n"
        f"    from {library} import {name}\n"
        "    from sklearn.compose import ColumnTransformer, make_column_selector\n"
        "    from sklearn.ensemble import VotingClassifier\n"
        "    from sklearn.calibration import CalibratedClassifierCV\n"
        "    from sklearn.linear_model import LogisticRegression\n"
        "    from sklearn.pipeline import make_pipeline\n"
        "    from sklearn.preprocessing import OneHotEncoder, StandardScaler\n"
        "    from sklearn.impute import SimpleImputer\n"
        f"    return {around.format(booster)}\n"
    )


ENCODED = (
    "make_pipeline(ColumnTransformer([('n', 'passthrough', ['a', 'b']),"
    " ('c', OneHotEncoder(handle_unknown='ignore'), ['kind'])]), {})"
)
VOTES = (
    "make_pipeline(ColumnTransformer([('n', SimpleImputer(), ['a', 'b'])]),"
    " VotingClassifier([('one', {}), ('two', LogisticRegression())], voting='soft'))"
)
CALIBRATED = "make_pipeline(SimpleImputer(), CalibratedClassifierCV({}, cv=2))"


def bundle_of(config, estimator, rows, folder):
    predictor = Predictor.of(config, estimator)
    digest = write_bundle(folder, config, estimator, make_reference(config, predictor, rows), {})
    return digest, load_bundle(folder, digest=digest, config=config)


def stored_files(folder):
    """The contents of the archive's entries, without its schema."""
    with zipfile.ZipFile(folder / "model.skops") as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != "schema.json"}


@pytest.mark.parametrize("labels", [(0, 1), ("fine", "worn"), (False, True), (3, 7)], ids=str)
@pytest.mark.parametrize("library", BOOSTERS)
def test_categories_missing_values_and_any_labels_survive_the_bundle(model, rows, tmp_path, library, labels):
    config = model(code(library), category=True)
    frame = rows(400, labels=labels)
    estimator = fit(config, frame, None)
    before = Predictor.of(config, estimator).predict(frame)
    _, loaded = bundle_of(config, estimator, frame, tmp_path / "bundle")
    after = loaded.predictor.predict(frame)
    assert np.array_equal(after.prediction.astype(str), before.prediction.astype(str))
    assert np.array_equal(after.proba, before.proba)
    right = after.prediction.astype(str) == frame["y"].to_numpy().astype(str)
    assert right.mean() > 0.85
    assert [str(each) for each in loaded.predictor.classes] == sorted(str(each) for each in labels)


@pytest.mark.parametrize("library", BOOSTERS)
def test_predictions_equal_those_of_the_library_used_alone(model, rows, tmp_path, library):
    """Fitted and asked without Homeostat, with the categories made by hand."""
    config = model(code(library), category=True)
    frame = rows(400, labels=("fine", "worn"))
    _, loaded = bundle_of(config, fit(config, frame, None), frame, tmp_path / "bundle")
    alone = pd.DataFrame({"a": frame["a"], "b": frame["b"]})
    codes = (frame["y"] == "worn").astype(int)
    if library == "xgboost":
        import xgboost

        booster = xgboost.XGBClassifier(n_estimators=15, enable_categorical=True)
        alone["kind"] = pd.Categorical(frame["kind"], categories=["x", "y", "z"])
    elif library == "lightgbm":
        import lightgbm

        booster = lightgbm.LGBMClassifier(n_estimators=15, verbose=-1)
        alone["kind"] = pd.Categorical(frame["kind"], categories=["x", "y", "z"])
    else:
        import catboost

        booster = catboost.CatBoostClassifier(
            iterations=15, verbose=False, cat_features=["kind"], allow_writing_files=False
        )
        alone["kind"] = frame["kind"].fillna("").astype(object)
    expected = booster.fit(alone, codes).predict_proba(alone)
    found = loaded.predictor.predict(frame)
    assert np.array_equal(found.proba, np.asarray(expected, dtype=np.float64))
    assert found.prediction.tolist() == np.where(booster.predict(alone) == 1, "worn", "fine").tolist()


@pytest.mark.parametrize("library", BOOSTERS)
def test_one_row_of_a_request_gets_the_prediction_that_it_gets_among_others(model, rows, tmp_path, library):
    """Codes of categories must not depend on which values a request has."""
    config = model(code(library), category=True)
    frame = rows(200)
    _, loaded = bundle_of(config, fit(config, frame, None), frame, tmp_path / "bundle")
    together = loaded.predictor.predict(frame).proba
    alone = [loaded.predictor.predict(frame.iloc[[n]]).proba[0] for n in range(60)]
    assert np.allclose(alone, together[:60], rtol=0, atol=1e-12)
    unseen = frame.head(1).assign(kind=pd.Series(["never seen"], dtype="str"))
    assert np.isfinite(loaded.predictor.predict(unseen).proba).all()


@pytest.mark.parametrize("around", [ENCODED, VOTES, CALIBRATED], ids=["encoded", "votes", "calibrated"])
@pytest.mark.parametrize("library", BOOSTERS)
def test_boosters_inside_other_estimators_survive_the_bundle(model, rows, tmp_path, library, around):
    config = model(code(library, around=around), category=around is ENCODED)
    frame = rows(300, labels=("fine", "worn"))
    estimator = fit(config, frame, None)
    before = Predictor.of(config, estimator).predict(frame)
    _, loaded = bundle_of(config, estimator, frame, tmp_path / "bundle")
    after = loaded.predictor.predict(frame)
    assert np.array_equal(after.proba, before.proba)
    assert after.prediction.tolist() == before.prediction.tolist()


@pytest.mark.parametrize("library", BOOSTERS)
def test_a_regression_survives_its_bundle(model, rows, tmp_path, library):
    config = model(code(library, task="regression"), task="regression", category=True)
    frame = rows(300, labels=None)
    estimator = fit(config, frame, None)
    before = Predictor.of(config, estimator).predict(frame)
    _, loaded = bundle_of(config, estimator, frame, tmp_path / "bundle")
    assert np.array_equal(loaded.predictor.predict(frame).prediction, before.prediction)


@pytest.mark.parametrize("library", BOOSTERS)
def test_three_classes_survive_the_bundle(model, rows, tmp_path, library):
    config = model(code(library))
    frame = rows(400)
    frame["y"] = np.array(["high", "low", "middle"])[np.digitize(frame["b"], [-0.5, 0.5])]
    estimator = fit(config, frame, None)
    _, loaded = bundle_of(config, estimator, frame, tmp_path / "bundle")
    found = loaded.predictor.predict(frame)
    assert np.array_equal(found.proba, Predictor.of(config, estimator).predict(frame).proba)
    assert (found.prediction.astype(str) == frame["y"]).mean() > 0.95


@pytest.mark.parametrize("library", BOOSTERS)
def test_a_committee_of_boosters_survives_the_bundle(model, rows, tmp_path, library):
    from homeostat.bundle.committee import Committee, committee_classes

    config = model(code(library), category=True)
    frame = rows(400, labels=("fine", "worn"))
    members = [fit(config, frame, None), fit(config, frame.tail(200), None)]
    committee = Committee(members, ["all", "short"], committee_classes(members, label_array(frame["y"])))
    _, loaded = bundle_of(config, committee, frame, tmp_path / "bundle")
    mean = np.mean([Predictor.of(config, each).predict(frame).proba for each in members], axis=0)
    assert np.array_equal(loaded.predictor.predict(frame).proba, mean)


@pytest.mark.parametrize("library", BOOSTERS)
def test_the_file_is_the_librarys_own_format(model, rows, tmp_path, library):
    config = model(code(library))
    bundle_of(config, fit(config, rows(), None), rows(), tmp_path / "bundle")
    begins = [
        data for data in stored_files(tmp_path / "bundle").values() if not data.startswith(b"\x93NUMPY")
    ]
    assert [data.startswith(FIRST_BYTES[library]) for data in begins] == [True]
    schema = zipfile.ZipFile(tmp_path / "bundle/model.skops").read("schema.json").decode()
    assert f'"{library}' not in schema.replace(f'"content": "\\"{library}.', "")


@pytest.mark.parametrize("library", BOOSTERS)
def test_numbers_alone_are_a_plain_matrix(model, library):
    from homeostat.retraining.fit import build_pipeline

    config = model(code(library))
    assert takes_matrix(build_pipeline(config, config.pipeline), config)
    named = {"xgboost": "{'a': 1}", "lightgbm": "['a']", "catboost": "{'a': 1}"}[library]
    key = "categorical_feature" if library == "lightgbm" else "monotone_constraints"
    config = model(code(library, more=f"{key}={named}"))
    assert not takes_matrix(build_pipeline(config, config.pipeline), config)


@pytest.mark.parametrize("library", BOOSTERS)
def test_weights_reach_the_booster(model, rows, library):
    config = model(code(library), category=True)
    frame = rows(200)
    weights = np.where(frame["y"] == 1, 100.0, 0.01)
    plain = Predictor.of(config, fit(config, frame, None)).predict(frame).proba[:, 1].mean()
    assert Predictor.of(config, fit(config, frame, weights)).predict(frame).proba[:, 1].mean() > plain


def test_a_fit_prints_nothing_and_leaves_no_files(model, rows, tmp_path, monkeypatch, capfd):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    for library in BOOSTERS:
        fit(model(code(library)), rows(), None)
    out, err = capfd.readouterr()
    assert (out, err, list(empty.iterdir())) == ("", "", [])


@pytest.mark.parametrize("library", BOOSTERS)
def test_a_loaded_booster_predicts_on_as_many_threads_as_openmp_may_use(
    model, rows, tmp_path, library, monkeypatch
):
    from homeostat.bundle.boosters.labels import unwrapped

    config = model(code(library, more="thread_count=2" if library == "catboost" else "n_jobs=2"))
    estimator, asked = fit(config, rows(), None), []
    for threads in ("", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        _, loaded = bundle_of(config, estimator, rows(), tmp_path / f"bundle{threads}")
        booster = unwrapped(loaded.predictor.estimator)
        if library == "catboost":
            base = type(booster).homeostat_base
            with monkeypatch.context() as patch:
                patch.setattr(
                    base, "predict_proba", lambda _, data, **more: asked.append(more["thread_count"])
                )
                booster.predict_proba(np.zeros((1, 2)))
        else:
            asked.append(booster.n_jobs)
    assert asked == [1, 3]


DIGEST = """
import sys, numpy as np, pandas as pd
from pathlib import Path
from homeostat.bundle.files import dump_estimator
from homeostat.config.load import load_model
from homeostat.retraining.fit import fit
import hashlib
config, frame = load_model(Path(sys.argv[1])), pd.read_parquet(sys.argv[2])
print(hashlib.sha256(dump_estimator(config, fit(config, frame, None))).hexdigest())
"""


@pytest.mark.parametrize("library", BOOSTERS)
def test_two_fits_in_two_processes_have_the_same_bytes(model, rows, tmp_path, library):
    from homeostat.bundle.files import dump_estimator

    config = model(code(library), category=True)
    frame = rows(labels=("fine", "worn"))
    frame.to_parquet(tmp_path / "rows.parquet")
    done = subprocess.run(
        [sys.executable, "-c", DIGEST, config.folder, tmp_path / "rows.parquet"],
        capture_output=True,
        text=True,
        check=True,
    )
    here = hashlib.sha256(dump_estimator(config, fit(config, frame, None))).hexdigest()
    assert done.stdout.split() == [here]


def test_a_library_that_is_missing_is_named_with_its_extra(model, rows, tmp_path, monkeypatch):
    config = model(code("lightgbm"))
    bundle_of(config, fit(config, rows(), None), rows(), tmp_path / "bundle")
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingExtra, match=r"pip install 'homeostat\[lightgbm\]'"):
        load_bundle(tmp_path / "bundle", config=config)


def test_linear_trees_are_refused_when_they_are_written(model, rows, tmp_path):
    config = model(code("lightgbm", more="linear_tree=True"))
    with pytest.raises(PipelineError, match=r"linear_tree=True cannot be stored"):
        bundle_of(config, fit(config, rows(), None), rows(), tmp_path / "bundle")


def test_a_subclass_of_the_users_own_is_no_booster_of_the_library():
    import lightgbm

    class Mine(lightgbm.LGBMClassifier):
        pass

    assert (library_of(lightgbm.LGBMClassifier()), library_of(Mine())) == ("lightgbm", None)
