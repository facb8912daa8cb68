import io
import json
import pickle
import shutil
import zipfile

import numpy as np
import pytest

from homeostat.bundle import files as room
from homeostat.bundle import safe_load as opening
from homeostat.bundle.evaluate import make_reference
from homeostat.bundle.files import load_bundle, tree_digest, write_bundle
from homeostat.bundle.pipeline import load_pipeline
from homeostat.bundle.predictor import Predictor
from homeostat.config.errors import AlreadyExists, OutOfMemory, PipelineError, Untrusted
from homeostat.core.profile import Profile, Reference, count_dataframe, fit_edges
from homeostat.retraining.fit import fit

IMPORTS = """\
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import *
from sklearn.ensemble import *
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import *
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import *
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
"""
OWN = """
class Clip(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.high_ = np.nanquantile(X, 0.9, axis=0)
        return self
    def transform(self, X):
        return np.minimum(X, self.high_)

def double(X):
    return 2 * X
"""
CLASSIFIERS = [
    "LogisticRegression()",
    "DecisionTreeClassifier(max_depth=3)",
    "RandomForestClassifier(5, random_state=0)",
    "ExtraTreesClassifier(5, random_state=0)",
    "GradientBoostingClassifier(n_estimators=5)",
    "HistGradientBoostingClassifier(max_iter=5)",
    "AdaBoostClassifier(n_estimators=3)",
    "BaggingClassifier(n_estimators=3, max_features=0.5)",
    "GaussianNB()",
    "SGDClassifier(loss='log_loss')",
    "SVC()",
    "CalibratedClassifierCV(RandomForestClassifier(3))",
    "make_pipeline(SelectKBest(k=1), PolynomialFeatures(), LogisticRegression())",
    "make_pipeline(StandardScaler(), MLPClassifier((4,), max_iter=2000, random_state=0))",
    "GridSearchCV(LogisticRegression(), {'C': [1, 2]})",
    "VotingClassifier([('a', LogisticRegression()), ('b', GaussianNB())], voting='soft')",
    "StackingClassifier([('a', LogisticRegression()), ('b', GaussianNB())])",
]


def returning(expression):
    return f"{IMPORTS}{OWN}\ndef build():\n    return {expression}\n"


def saved(config, data, folder):
    estimator = fit(config, data, None)
    predictor = Predictor.of(config, estimator)
    reference = make_reference(config, predictor, data)
    digest = write_bundle(folder, config, estimator, reference, {"run_key": "r1"})
    return predictor, digest


def rewritten(data, **entries):
    """The same zip with some entries replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for item in old.infolist():
            new.writestr(item.filename, entries.pop(item.filename, None) or old.read(item.filename))
        for name, content in entries.items():
            new.writestr(name, content)
    return out.getvalue()


@pytest.fixture
def bundle(model, rows, tmp_path):
    config = model()
    predictor, digest = saved(config, rows(), tmp_path / "bundle")
    return tmp_path / "bundle", digest, predictor


@pytest.mark.parametrize("expression", CLASSIFIERS)
def test_a_round_trip_gives_exactly_the_same_predictions(model, rows, tmp_path, expression):
    config = model(returning(expression))
    data = rows(missing=False)
    predictor, digest = saved(config, data, tmp_path / "bundle")
    before, after = (
        predictor.predict(data),
        load_bundle(tmp_path / "bundle", digest=digest).predictor.predict(data),
    )
    np.testing.assert_array_equal(before.prediction, after.prediction)
    if before.proba is not None:
        np.testing.assert_array_equal(before.proba, after.proba)
        np.testing.assert_array_equal(before.confidence, after.confidence)


@pytest.mark.parametrize("labels", [(0, 1), ("no", "yes")], ids=str)
@pytest.mark.parametrize(
    "encoder",
    [
        "OneHotEncoder(handle_unknown='ignore')",
        "OneHotEncoder(handle_unknown='infrequent_if_exist', max_categories=2)",
        "OrdinalEncoder(handle_unknown='use_encoded_value', unknown_value=-1)",
        "make_pipeline(SimpleImputer(strategy='most_frequent'), OneHotEncoder())",
    ],
)
def test_a_round_trip_with_categories_and_missing_values_is_exact(model, rows, tmp_path, encoder, labels):
    text = (
        "make_pipeline(ColumnTransformer([('n', SimpleImputer(add_indicator=True), ['a', 'b']), "
        f"('c', {encoder}, ['kind'])]), HistGradientBoostingClassifier(max_iter=3))"
    )
    config = model(returning(text), category=True)
    data = rows(labels=labels)
    predictor, digest = saved(config, data, tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle", digest=digest).predictor
    fresh = rows(seed=1)
    fresh.loc[0, "kind"] = "never seen"
    if "make_pipeline(SimpleImputer" in encoder:
        fresh.loc[0, "kind"] = "x"
    np.testing.assert_array_equal(predictor.predict(fresh).proba, loaded.predict(fresh).proba)
    assert loaded.predict(fresh).prediction.tolist() == predictor.predict(fresh).prediction.tolist()


@pytest.mark.parametrize(
    "expression",
    [
        "Ridge()",
        "RandomForestRegressor(5)",
        "HistGradientBoostingRegressor(loss='poisson', max_iter=3)",
        "GradientBoostingRegressor(loss='huber', n_estimators=3)",
        "TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1)",
        "TweedieRegressor(power=1.5)",
        "SGDRegressor()",
    ],
)
def test_a_regression_survives_its_bundle(model, rows, tmp_path, expression):
    config = model(returning(expression), task="regression")
    data = rows(labels=None, missing=False)
    data["y"] = data["y"].abs() + 0.1
    predictor, digest = saved(config, data, tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle", digest=digest)
    np.testing.assert_array_equal(
        loaded.predictor.predict(data).prediction, predictor.predict(data).prediction
    )
    low, high = loaded.manifest["prediction_range"]
    answers = predictor.predict(data).prediction
    assert low < answers.min() <= answers.max() < high


def test_a_models_own_classes_and_functions_are_trusted_where_its_folder_is(model, rows, tmp_path):
    config = model(returning("make_pipeline(Clip(), FunctionTransformer(double), LogisticRegression())"))
    data = rows(missing=False)
    predictor, digest = saved(config, data, tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle", digest=digest, config=config)
    np.testing.assert_array_equal(loaded.predictor.predict(data).proba, predictor.predict(data).proba)


def test_types_that_a_models_file_only_imports_are_not_trusted(model, rows, tmp_path):
    config = model("from os import system\n" + returning("make_pipeline(Clip(), LogisticRegression())"))
    saved(config, rows(missing=False), tmp_path / "bundle")
    path = tmp_path / "bundle" / "model.skops"
    with zipfile.ZipFile(path) as archive:
        schema = archive.read("schema.json").replace(b'"Clip"', b'"system"')
    path.write_bytes(rewritten(path.read_bytes(), **{"schema.json": schema}))
    load_pipeline(config)
    with pytest.raises(Untrusted, match=r"homeostat_models\.sample\.pipeline\.system"):
        load_bundle(tmp_path / "bundle", config=config)


def test_a_lambda_cannot_be_stored_and_the_error_says_what_to_use(model, rows, tmp_path):
    config = model(returning("make_pipeline(FunctionTransformer(lambda x: x), LogisticRegression())"))
    with pytest.raises(PipelineError, match=r"contains .*<lambda>; use named functions"):
        saved(config, rows(missing=False), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_the_manifest_has_features_classes_and_task(bundle):
    folder, digest, _ = bundle
    loaded = load_bundle(folder, digest=digest)
    assert [item["name"] for item in loaded.manifest["features"]] == ["a", "b"]
    assert loaded.manifest["classes"] == [0, 1]
    assert loaded.manifest["run_key"] == "r1"
    assert loaded.manifest["prediction_range"] is None
    assert set(loaded.manifest["libraries"]) >= {"scikit-learn", "numpy"}
    assert loaded.digest == digest


def test_the_reference_holds_features_and_outputs_of_the_holdout(bundle, rows):
    folder, digest, predictor = bundle
    reference = load_bundle(folder, digest=digest).reference
    assert set(reference.edges.features) == {"a", "b", "prediction", "confidence"}
    assert reference.profile.rows == 300
    again = rows().assign(prediction=predictor.predict(rows()).prediction.astype(float))
    assert (
        count_dataframe(reference.edges, again).features["prediction"]
        == reference.profile.features["prediction"]
    )


def test_a_bundle_is_written_once(bundle, model, rows):
    folder, digest, predictor = bundle
    frames = fit_edges(rows(), {"a": "number"})
    with pytest.raises(AlreadyExists, match="never change"):
        write_bundle(folder, model(), predictor.estimator, Reference(frames, Profile.empty(frames)), {})
    assert tree_digest(folder) == digest


def test_a_write_that_fails_leaves_nothing_behind(bundle, model, tmp_path, monkeypatch):
    _, _, predictor = bundle
    reference = load_bundle(bundle[0]).reference
    monkeypatch.setattr(room.os, "rename", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OSError, match="disk full"):
        write_bundle(tmp_path / "other", model(), predictor.estimator, reference, {})
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", room.FILES)
def test_one_changed_byte_in_any_file_is_refused(bundle, name):
    folder, digest, _ = bundle
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(bytes(data))
    with pytest.raises(Untrusted, match="files were changed"):
        load_bundle(folder, digest=digest)


@pytest.mark.parametrize("name", room.FILES)
def test_a_truncated_or_missing_file_is_refused(bundle, name):
    folder, digest, _ = bundle
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Untrusted):
        load_bundle(folder)  # without a digest, too
    (folder / name).unlink()
    with pytest.raises(Untrusted, match="missing"):
        load_bundle(folder, digest=digest)


def test_a_link_is_not_followed(bundle, tmp_path):
    folder, digest, _ = bundle
    shutil.move(folder / "manifest.json", tmp_path / "elsewhere.json")
    (folder / "manifest.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(Untrusted, match="not a plain file"):
        load_bundle(folder, digest=digest)


def test_files_beside_the_bundle_are_neither_read_nor_counted(bundle):
    folder, digest, _ = bundle
    (folder / "MLmodel").write_text("flavors: {python_function: {loader_module: os}}")
    (folder / "code").mkdir()
    (folder / "code" / "evil.py").write_text("raise SystemExit")
    assert tree_digest(folder) == digest
    load_bundle(folder, digest=digest)


class Bomb:
    def __reduce__(self):
        return (exec, ("import pathlib; pathlib.Path('/tmp/homeostat-was-here').touch(); raise SystemExit",))


def test_a_renamed_pickle_is_refused_unread(bundle):
    folder, _, _ = bundle
    (folder / "model.skops").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(Untrusted, match="not a skops file"):
        load_bundle(folder, digest=tree_digest(folder))


@pytest.mark.parametrize(
    ("module", "name", "loader"),
    [
        ("os", "system", "FunctionNode"),
        ("subprocess", "Popen", "ObjectNode"),
        ("builtins", "eval", "TypeNode"),
    ],
)
def test_a_skops_file_that_names_foreign_code_is_refused(bundle, module, name, loader):
    folder, _, _ = bundle
    evil = {
        "__class__": "list",
        "__module__": "builtins",
        "__loader__": "ListNode",
        "content": [{"__class__": name, "__module__": module, "__loader__": loader}],
        "protocol": 2,
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("schema.json", json.dumps(evil))
    (folder / "model.skops").write_bytes(out.getvalue())
    with pytest.raises(Untrusted, match=rf"{module}\.{name}.*HOMEOSTAT_TRUSTED_TYPES"):
        load_bundle(folder, digest=tree_digest(folder))


def test_types_of_the_operators_list_are_loaded(model, rows, tmp_path):
    config = model(returning("KNeighborsClassifier(algorithm='kd_tree')"))
    data = rows(missing=False)
    predictor, digest = saved(config, data, tmp_path / "bundle")
    with pytest.raises(Untrusted, match="KDTree"):
        load_bundle(tmp_path / "bundle", digest=digest)
    more = ("sklearn.neighbors._kd_tree.KDTree", "sklearn.metrics._dist_metrics.EuclideanDistance64")
    loaded = load_bundle(tmp_path / "bundle", more, digest=digest).predictor
    np.testing.assert_array_equal(loaded.predict(data).proba, predictor.predict(data).proba)


def test_a_zip_bomb_is_refused_before_it_unpacks(bundle):
    folder, _, _ = bundle
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"0" * 50_000_000)
    (folder / "model.skops").write_bytes(out.getvalue())
    with pytest.raises(Untrusted, match="would unpack to 50000000"):
        load_bundle(folder)


def test_a_file_beyond_the_limit_is_not_read(bundle, monkeypatch):
    folder, digest, _ = bundle
    monkeypatch.setattr(room, "MAX_BYTES", dict.fromkeys(room.FILES, 10))
    with pytest.raises(Untrusted, match="not loaded"):
        load_bundle(folder, digest=digest)


@pytest.mark.parametrize("name", ["../evil.npy", "/etc/evil", "a/b.npy", "..\\evil"])
def test_an_entry_that_leaves_the_archive_is_refused(bundle, name):
    folder, _, _ = bundle
    data = (folder / "model.skops").read_bytes()
    (folder / "model.skops").write_bytes(rewritten(data, **{name: b"x"}))
    with pytest.raises(Untrusted, match="an entry named"):
        load_bundle(folder)


def test_an_endlessly_nested_file_is_refused(bundle):
    folder, _, _ = bundle
    nested = '{"__class__":"list","__module__":"builtins","__loader__":"ListNode","content":[' * 20_000
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("schema.json", nested)
    (folder / "model.skops").write_bytes(out.getvalue())
    with pytest.raises(Untrusted):
        load_bundle(folder)


@pytest.mark.parametrize("raw", [b"[]", b"{}", b"null", b"\xff", b'{"format": 99}', b"[" * 100_000])
def test_a_file_that_is_not_a_manifest_is_refused(bundle, raw):
    folder, _, _ = bundle
    (folder / "manifest.json").write_bytes(raw)
    with pytest.raises(Untrusted, match="not the manifest"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "expression",
    [
        "HistGradientBoostingClassifier(max_iter=2)",
        "RandomForestClassifier(2, random_state=0)",
        "DecisionTreeClassifier(max_depth=3)",
        "GradientBoostingClassifier(n_estimators=2)",
    ],
)
@pytest.mark.parametrize("harm", ["far child", "loop", "feature"])
def test_a_tree_with_invalid_indices_is_refused_before_it_predicts(model, rows, tmp_path, expression, harm):
    config = model(returning(expression))
    saved(config, rows(missing=False), tmp_path / "bundle")
    path = tmp_path / "bundle" / "model.skops"
    path.write_bytes(rewritten(path.read_bytes(), **_harmed(path, harm)))
    with pytest.raises(Untrusted, match="has invalid indices"):
        load_bundle(tmp_path / "bundle")


def _harmed(path, harm):
    """Every array of tree nodes in the file, with its first node made harmful."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.endswith(".npy"):
                continue
            array = np.load(io.BytesIO(archive.read(name)))
            fields = array.dtype.names or ()
            if not {"left", "left_child"} & set(fields):
                continue
            left = "left" if "left" in fields else "left_child"
            feature = "feature_idx" if left == "left" else "feature"
            key, value = {"far child": (left, 10**6), "loop": (left, 0), "feature": (feature, 10**6)}[harm]
            array[key][0] = value
            out = io.BytesIO()
            np.save(out, array)
            found[name] = out.getvalue()
    assert found
    return found


def test_a_bundle_of_something_else_is_refused(bundle):
    from skops.io import dumps

    folder, _, _ = bundle
    (folder / "model.skops").write_bytes(dumps({"not": "a model"}))
    with pytest.raises(Untrusted, match="has no predict method"):
        load_bundle(folder)


def test_too_little_memory_is_a_refusal_and_not_a_crash(bundle, monkeypatch):
    import skops.io

    folder, _, _ = bundle
    monkeypatch.setattr(skops.io, "loads", lambda *_, **__: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(OutOfMemory, match="memory"):
        opening.load_estimator((folder / "model.skops").read_bytes(), folder, "sample", ())


@pytest.mark.parametrize(
    "expression",
    [
        "make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0, n_jobs=2))",
        "HistGradientBoostingClassifier(max_iter=5, random_state=0)",
        "make_pipeline(SelectKBest(k=1), SVC(random_state=0))",  # bytes have names of their own
    ],
)
def test_the_same_fit_is_the_same_bytes_whenever_and_wherever_it_is_written(model, rows, expression):
    config, data = model(IMPORTS + f"def build():\n    return {expression}"), rows(missing=False)
    keep = [fit(config, data, None)]
    first = room.dump_estimator(config, keep[0])
    clutter = [object() for _ in range(1000)]  # so that nothing comes to lie where it lay
    keep.append(fit(config, data, None))
    assert room.dump_estimator(config, keep[1]) == first
    assert room.dump_estimator(config, keep[0]) == first
    assert len(clutter) == 1000
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_an_estimator_that_is_used_twice_is_still_one_after_loading(model, rows):
    from skops.io import dumps, loads

    from homeostat.bundle.deterministic import make_deterministic

    shared = np.arange(3.0)
    whole = {"one": shared, "again": [shared, b"bytes", {"__id__": 7, "file": "1.npy"}], "other": shared + 1}
    found = loads(make_deterministic(dumps(whole)))
    assert found["one"] is found["again"][0]
    assert found["again"][1:] == [b"bytes", {"__id__": 7, "file": "1.npy"}]
    assert found["other"].tolist() == [1, 2, 3]
