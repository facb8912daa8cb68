"""Models that other pipelines logged in MLflow become estimators of model.yaml's features, or are refused."""

import pickle
import zipfile

import numpy as np
import pytest
import yaml

from homeostat.bundle.evaluate import make_reference
from homeostat.bundle.files import load_bundle, write_bundle
from homeostat.bundle.mlflow_model import load_mlflow_model
from homeostat.bundle.predictor import Predictor
from homeostat.config.errors import SignatureMismatch, Untrusted
from mlflow_models import ACCEPTED, fitted, save

WHAT = "models:/churn/7"


def of_library(flavor):
    return flavor.partition("_")[0] in ("lightgbm", "xgboost", "catboost")


@pytest.mark.parametrize("flavor", ACCEPTED)
@pytest.mark.parametrize("category", [False, True], ids=["numbers", "category"])
@pytest.mark.parametrize("order", [["a", "b"], ["b", "a"], ["b"]], ids=["same", "other-order", "fewer"])
def test_predictions_are_those_of_the_library(model, rows, tmp_path, flavor, category, order):
    if category and flavor == "sklearn":
        pytest.skip("a model without an encoder")
    config, frame = model(category=True), rows(missing=False)
    names = [*order, "kind"] if category else order
    estimator, expected = fitted(flavor, frame[names], frame["y"])
    folder = save(flavor, estimator, tmp_path / "model")
    found = load_mlflow_model(folder, config, what=WHAT)
    predictor = Predictor.of(config, found)
    proba = predictor.predict(frame).proba
    np.testing.assert_array_equal(proba, expected)

    digest = write_bundle(tmp_path / "bundle", config, found, make_reference(config, predictor, frame), {})
    served = load_bundle(tmp_path / "bundle", digest=digest, config=config).predictor
    np.testing.assert_array_equal(served.predict(frame).proba, expected)


@pytest.mark.parametrize("flavor", ACCEPTED)
def test_numbers_in_the_same_order_are_served_as_a_matrix_without_warnings(
    model, rows, tmp_path, flavor, recwarn
):
    config, frame = model(), rows(missing=False)
    estimator, expected = fitted(flavor, frame[["a", "b"]], frame["y"])
    folder = save(flavor, estimator, tmp_path / "model")
    found = load_mlflow_model(folder, config, what=WHAT)
    reference = make_reference(config, Predictor.of(config, found), frame)
    digest = write_bundle(tmp_path / "bundle", config, found, reference, {})
    predictor = load_bundle(tmp_path / "bundle", digest=digest, config=config).predictor
    recwarn.clear()
    assert predictor.as_matrix
    found = predictor.predict_matrix(frame[["a", "b"]].to_numpy())
    np.testing.assert_array_equal(found.proba, expected)
    assert [str(each.message) for each in recwarn] == []


@pytest.mark.parametrize("saved", ["pickle", "cloudpickle"])
@pytest.mark.parametrize("flavor", ["sklearn", "lightgbm"])
def test_a_pickle_is_refused_and_never_opened(model, rows, tmp_path, flavor, saved):
    config, frame = model(), rows(missing=False)
    estimator, _ = fitted(flavor, frame[["a", "b"]], frame["y"])
    folder = save(flavor, estimator, tmp_path / "model", serialization_format=saved)
    (folder / "model.pkl").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(
        Untrusted, match=f"{WHAT}: model.pkl was saved as {saved}.*serialization_format='skops'"
    ):
        load_mlflow_model(folder, config, what=WHAT)
    edited = yaml.safe_load((folder / "MLmodel").read_text())
    edited["flavors"][flavor]["serialization_format"] = "skops"  # it lies
    (folder / "MLmodel").write_text(yaml.safe_dump(edited))
    with pytest.raises(Untrusted, match="is not a skops file"):
        load_mlflow_model(folder, config, what=WHAT)
    assert not (tmp_path / "ran").exists()


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_code_and_loader_of_a_model_are_not_run(model, rows, tmp_path):
    config, frame = model(), rows(missing=False)
    estimator, _ = fitted("sklearn", frame[["a", "b"]], frame["y"])
    folder = save("sklearn", estimator, tmp_path / "model")
    edited = yaml.safe_load((folder / "MLmodel").read_text())
    edited["flavors"]["sklearn"]["code"] = "code"
    edited["flavors"]["python_function"] |= {"loader_module": "evil", "code": "code"}
    (folder / "code").mkdir()
    (folder / "code" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (folder / "MLmodel").write_text(yaml.safe_dump(edited))
    load_mlflow_model(folder, config, what=WHAT)
    assert not (tmp_path / "ran").exists()
    del edited["flavors"]["sklearn"]
    (folder / "MLmodel").write_text(yaml.safe_dump(edited))
    with pytest.raises(Untrusted, match=r"its flavour is python_function\. Accepted are scikit-learn"):
        load_mlflow_model(folder, config, what=WHAT)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "sub/model.skops", "link", "", "gone"])
def test_a_file_outside_the_folder_is_not_read(model, rows, tmp_path, name):
    config, frame = model(), rows(missing=False)
    estimator, _ = fitted("sklearn", frame[["a", "b"]], frame["y"])
    folder = save("sklearn", estimator, tmp_path / "model")
    (tmp_path / "secret").write_bytes((folder / "model.skops").read_bytes())
    (folder / "link").symlink_to(tmp_path / "secret")
    edited = yaml.safe_load((folder / "MLmodel").read_text())
    edited["flavors"]["sklearn"]["pickled_model"] = name
    (folder / "MLmodel").write_text(yaml.safe_dump(edited))
    with pytest.raises(Untrusted, match="is missing, or is not directly in the model's folder"):
        load_mlflow_model(folder, config, what=WHAT)


@pytest.mark.parametrize(
    "text",
    ["", "- 1", "flavors: 3", "flavors: {sklearn: 1}", "!!python/object:os.system x", "{", "signature: x"],
)
def test_what_is_no_mlmodel_is_refused(model, tmp_path, text):
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(Untrusted, match=f"{WHAT}: its file MLmodel is not MLflow's"):
        load_mlflow_model(tmp_path, model(), what=WHAT)


def test_a_type_that_is_not_trusted_is_named(model, rows, tmp_path):
    from sklearn.neighbors import KNeighborsClassifier

    config, frame = model(), rows(missing=False)
    estimator = KNeighborsClassifier(algorithm="kd_tree").fit(frame[["a", "b"]], frame["y"])
    types = ["sklearn.neighbors._kd_tree.KDTree", "sklearn.metrics._dist_metrics.EuclideanDistance64"]
    types += ["sklearn.neighbors._kd_tree.newObj"]
    folder = save("sklearn", estimator, tmp_path / "model", skops_trusted_types=types)
    with pytest.raises(Untrusted, match=r"not trusted: .*KDTree.*trusted_types"):
        load_mlflow_model(folder, config, what=WHAT)
    found = load_mlflow_model(folder, config, types, what=WHAT)
    assert Predictor.of(config, found).predict(frame).prediction.tolist() == (
        estimator.predict(frame[["a", "b"]]).tolist()
    )


def rewrite_skops(path, change):
    """Replace the schema of a skops file."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    schema = change(entries["schema.json"].decode())
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (entries | {"schema.json": schema.encode()}).items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("split_feature=0", "split_feature=9", "a feature"),
        ('"_handle"', '"handle_"', "in a form that is not known"),
        ('"__class__": "Booster"', '"__class__": "Dataset"', "not trusted: .*lightgbm.basic.Dataset"),
        ('"_Booster": {', '"another": {', "cannot be read as a model of lightgbm"),
    ],
    ids=["feature", "no-text", "another-type", "another-place"],
)
def test_a_crafted_lightgbm_estimator_is_refused(model, rows, tmp_path, old, new, says):
    config, frame = model(), rows(missing=False)
    estimator, _ = fitted("lightgbm", frame[["a", "b"]], frame["y"])
    folder = save("lightgbm", estimator, tmp_path / "model")

    def change(schema):
        assert old in schema
        return schema.replace(old, new)

    rewrite_skops(folder / "model.skops", change)
    with pytest.raises(Untrusted, match=says):
        load_mlflow_model(folder, config, what=WHAT)


@pytest.mark.parametrize("flavor", ["xgboost", "xgboost_json", "catboost", "lightgbm_booster"])
@pytest.mark.parametrize("at", [0.0, 0.3, 0.7, 0.999])
def test_a_booster_that_was_cut_short_is_refused(model, rows, tmp_path, flavor, at):
    config, frame = model(), rows(missing=False)
    estimator, _ = fitted(flavor, frame[["a", "b"]], frame["y"])
    folder = save(flavor, estimator, tmp_path / "model")
    (file,) = (path for path in folder.iterdir() if path.suffix in (".ubj", ".json", ".cb", ".lgb"))
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * at)])
    with pytest.raises(Untrusted):
        load_mlflow_model(folder, config, what=WHAT)


def test_columns_that_model_yaml_lacks_are_named(model, rows, tmp_path):
    config, frame = model(), rows(missing=False)
    estimator, _ = fitted("lightgbm", frame[["a", "kind", "b"]], frame["y"])
    folder = save("lightgbm", estimator, tmp_path / "model")
    with pytest.raises(
        SignatureMismatch, match=rf"{WHAT}: takes the column 'kind', and schema.features of .*'a'"
    ):
        load_mlflow_model(folder, config, what=WHAT)


def test_a_count_of_nameless_columns_must_be_that_of_the_features(model, rows, tmp_path):
    from sklearn.linear_model import LogisticRegression

    config, frame = model(category=True), rows(missing=False)
    estimator = LogisticRegression().fit(frame[["a", "b"]].to_numpy(), frame["y"])
    folder = save("sklearn", estimator, tmp_path / "model")
    with pytest.raises(
        SignatureMismatch, match=r"takes 2 columns without names, and schema.features .* has 3"
    ):
        load_mlflow_model(folder, config, what=WHAT)
    found = load_mlflow_model(folder, model(), what=WHAT)
    assert Predictor.of(model(), found).predict(frame).prediction.tolist() == (
        estimator.predict(frame[["a", "b"]].to_numpy()).tolist()
    )


def test_a_type_in_the_signature_must_be_that_of_model_yaml(model, rows, tmp_path):
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema

    config, frame = model(category=True), rows(missing=False)
    coded = frame.assign(kind=(frame["kind"] == "x").astype("int64"))[["a", "b", "kind"]]
    estimator, _ = fitted("sklearn", coded, frame["y"])
    columns = [ColSpec("double", "a"), ColSpec("double", "b"), ColSpec("long", "kind")]
    folder = save("sklearn", estimator, tmp_path / "model", signature=ModelSignature(Schema(columns)))
    with pytest.raises(SignatureMismatch, match=r"has 'kind' as long, and schema.features .* as category"):
        load_mlflow_model(folder, config, what=WHAT)


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_categories_that_are_numbers_are_refused(model, rows, tmp_path, library):
    config, frame = model(category=True), rows(missing=False)
    coded = frame.assign(kind=frame["kind"].map({"x": 0, "y": 1, "z": 2}))[["a", "b", "kind"]]
    estimator, _ = fitted(library, coded, frame["y"])
    folder = save(library, estimator, tmp_path / "model")
    with pytest.raises(SignatureMismatch, match="the booster does not have them as text"):
        load_mlflow_model(folder, config, what=WHAT)


def test_classes_give_the_labels_of_numbers(model, rows, tmp_path):
    config, frame = model(), rows(missing=False)
    estimator, expected = fitted("xgboost", frame[["a", "b"]], frame["y"])
    folder = save("xgboost", estimator, tmp_path / "model")
    found = load_mlflow_model(folder, config, what=WHAT, classes=["stays", "leaves"])
    predicted = Predictor.of(config, found).predict(frame)
    wanted = np.array(["stays", "leaves"])[expected.argmax(axis=1)]
    assert predicted.prediction.tolist() == wanted.tolist()
    with pytest.raises(SignatureMismatch, match="classes names 3 labels, a, b, c"):
        load_mlflow_model(folder, config, what=WHAT, classes=["a", "b", "c"])


@pytest.mark.parametrize("flavor", ["sklearn", "xgboost"])
def test_a_classifier_is_no_regression(model, rows, tmp_path, flavor):
    config, frame = model(task="regression"), rows(missing=False)
    estimator, _ = fitted(flavor, frame[["a", "b"]], frame["y"])
    folder = save(flavor, estimator, tmp_path / "model")
    with pytest.raises(SignatureMismatch, match=r"predicts the classes 0, 1, and .*task: regression"):
        load_mlflow_model(folder, config, what=WHAT)


def test_a_ranking_booster_is_refused(model, rows, tmp_path):
    import xgboost

    config, frame = model(), rows(missing=False)
    data = xgboost.DMatrix(frame[["a", "b"]], frame["y"], group=[len(frame)])
    folder = save("xgboost", xgboost.train({"objective": "rank:ndcg"}, data, 3), tmp_path / "model")
    with pytest.raises(Untrusted, match="has the objective 'rank:ndcg'"):
        load_mlflow_model(folder, config, what=WHAT)
