"""A crafted or damaged ONNX file is refused before ONNX Runtime reads it.

ONNX Runtime opens the files that a tensor names, and follows the indices of trees beyond the row.
"""

import pickle
import random
import subprocess
import sys

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from skops.io import dumps

from homeostat.adapters.bundle_files import tree_digest
from homeostat.bundle.deterministic import make_deterministic
from homeostat.bundle.evaluate import make_reference
from homeostat.bundle.files import write_bundle
from homeostat.bundle.onnx_format.checks import MAX_DEPTH, ML, check
from homeostat.bundle.onnx_format.compare import converted
from homeostat.bundle.onnx_format.model import OnnxModel
from homeostat.bundle.predictor import Predictor
from homeostat.bundle.safe_load import load_estimator
from homeostat.config.errors import Untrusted
from homeostat.core.rollout import VersionRef
from serving.gateway_harness import make_gateway_fixture, model_config, serving, until

KINDS = {"a": "number", "b": "number", "kind": "category"}


@pytest.fixture(scope="module")
def stored():
    """The ONNX model of a small pipeline with trees and categories."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=200), "b": rng.normal(size=200)})
    frame["kind"] = pd.Series(rng.choice(["x", "y"], 200), dtype="str")
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("n", "passthrough", ["a", "b"]), ("c", encode, ["kind"])])
    trees = HistGradientBoostingClassifier(max_iter=3, max_leaf_nodes=5, min_samples_leaf=5)
    return converted(make_pipeline(columns, trees).fit(frame, frame["a"] + frame["b"] > 0), frame, KINDS)


def load(model, data, **changes):
    """Load the model from the bytes of a bundle, with another file than it has."""
    crafted = object.__new__(OnnxModel)
    vars(crafted).update({**model.__getstate__(), "data": data, "size": len(data), **changes})
    return load_estimator(make_deterministic(dumps(crafted)), "model.skops", "sample", ())


def edited(change):
    """Return what edits the graph of a file."""

    def edit(data):
        model = onnx.ModelProto.FromString(data)
        change(model)
        return model.SerializeToString()

    return edit


def outside(model, path="/etc/passwd"):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=path)


def outside_in_an_attribute(model):
    tensor = helper.make_tensor("value", TensorProto.DOUBLE, [1], [0.0])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    model.graph.node[0].attribute.append(helper.make_attribute("value", tensor))


def inner_graph(model):
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", inner))


def function(model):
    model.functions.append(helper.make_function(ML, "Mine", [], [], [], [helper.make_opsetid("", 18)]))


def operator(kind, domain=""):
    def change(model):
        model.graph.node[0].op_type = kind
        model.graph.node[0].domain = domain

    return change


def other_domain(model):
    model.opset_import.add(domain="com.microsoft", version=1)


def trees(change):
    """Return what edits the attributes of the trees: a dictionary of NumPy arrays."""

    def edit(model):
        node = next(each for each in model.graph.node if each.op_type == "TreeEnsemble")
        for each in node.attribute:
            value = helper.get_attribute_value(each)
            tensor = isinstance(value, TensorProto)
            array = np.array(numpy_helper.to_array(value) if tensor else value)
            found = change(each.name, array)
            if found is not None:
                more = numpy_helper.from_array(found, each.name) if tensor else found.tolist()
                each.CopyFrom(helper.make_attribute(each.name, more))

    return edited(edit)


def first(name, value):
    """Return what sets the first number of an attribute of the trees."""

    def change(found, array):
        if found != name:
            return None
        array = np.atleast_1d(array).copy()
        array[0] = value
        return array

    return trees(change)


def any_width(model):
    node = next(each for each in model.graph.node if each.op_type == "TreeEnsemble")
    before = next(each for each in model.graph.node if node.input[0] in each.output)
    node.input[0] = before.input[0]


def another_width(model):
    node = next(each for each in model.graph.node if each.op_type == "TreeEnsemble")
    before = next(each for each in model.graph.node if node.input[0] in each.output)
    at = [each.name for each in model.graph.initializer].index(before.input[1])
    name = model.graph.initializer[at].name
    model.graph.initializer[at].CopyFrom(numpy_helper.from_array(np.array([-1, 1]), name))


ATTACKS = {
    "a path of external data": (edited(outside), "a tensor in another file"),
    "an external path in an operator": (edited(outside_in_an_attribute), "a tensor in another file"),
    "a location without a path": (
        edited(lambda model: setattr(model.graph.initializer[0], "data_location", 1)),
        "a tensor in another file",
    ),
    "a file cut in the middle": (lambda data: data[: len(data) // 2], "the ONNX file in the bundle has"),
    "no bytes": (lambda _: b"", "cannot read this model"),
    "a pickle": (lambda _: b"\x80\x04cos\nsystem\n", "no complete ONNX file"),
    "an operator of a library of one's own": (edited(operator("Mine", "custom")), "the operator custom.Mine"),
    "a set of operators of another domain": (edited(other_domain), "operators of another domain"),
    "an operator that asks for any memory": (
        edited(operator("ConstantOfShape")),
        "operator .ConstantOfShape",
    ),
    "a loop": (edited(operator("Loop")), "the operator .Loop"),
    "a graph in an operator": (edited(inner_graph), "a graph within an operator"),
    "a function": (edited(function), "functions"),
    "a feature outside the row": (first("nodes_featureids", 7), "a feature outside"),
    "a feature before the row": (first("nodes_featureids", -1), "a feature outside"),
    "leaves that are nodes before them": (
        trees(lambda name, array: array * 0 if name == "nodes_trueleafs" else None),
        "outside its range|two parents|outside its tree",
    ),
    "a constant that is an input": (
        edited(
            lambda model: model.graph.input.append(
                helper.make_tensor_value_info(model.graph.initializer[0].name, TensorProto.INT64, [1])
            )
        ),
        "an input instead of a constant",
    ),
    "a child outside the trees": (first("nodes_truenodeids", 1 << 40), "outside its range"),
    "a leaf outside the trees": (
        trees(lambda name, array: array + 100 if name == "nodes_falsenodeids" else None),
        "outside",
    ),
    "a tree outside the trees": (first("tree_roots", 500), "a tree outside"),
    "a class that is none": (first("leaf_targetids", 9), "a tree's class outside"),
    "many classes": (
        trees(lambda name, array: np.array(1 << 40) if name == "n_targets" else None),
        "a leaf too many",
    ),
    "a node too few": (
        trees(lambda name, array: array[1:] if name == "nodes_featureids" else None),
        "without a child",
    ),
    "trees of another kind": (first("nodes_modes", 6), "trees of another kind"),
    "trees of any width": (edited(any_width), "any width"),
    "trees of another width": (edited(another_width), "a feature outside"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_crafted_file_is_refused(stored, attack):
    change, said = ATTACKS[attack]
    assert change(stored.data) != stored.data
    with pytest.raises(Untrusted, match=said):
        load(stored, change(stored.data))


def test_a_file_that_lacks_its_last_field_is_refused(stored):
    """It is a whole protobuf still, of a smaller model."""
    whole = onnx.ModelProto.FromString(stored.data)
    shorter = stored.data[: len(stored.data) - 4]
    assert len(whole.graph.node) > 0
    with pytest.raises(Untrusted, match="another size"):
        load(stored, shorter, size=len(stored.data))


def test_a_tree_too_deep_is_refused(stored):
    nodes = MAX_DEPTH + 2
    chain = {
        "nodes_splits": np.zeros(nodes),
        "nodes_modes": np.zeros(nodes, dtype=np.uint8),
        "nodes_featureids": np.zeros(nodes, dtype=int),
        "nodes_truenodeids": np.minimum(np.arange(nodes) + 1, nodes - 1) * (np.arange(nodes) < nodes - 1),
        "nodes_trueleafs": (np.arange(nodes) == nodes - 1).astype(int),
        "nodes_falsenodeids": np.zeros(nodes, dtype=int),
        "nodes_falseleafs": np.ones(nodes, dtype=int),
        "nodes_missing_value_tracks_true": np.zeros(nodes, dtype=int),
        "tree_roots": np.array([0]),
    }
    with pytest.raises(Untrusted, match=f"more than {MAX_DEPTH} levels"):
        load(stored, trees(lambda name, _: chain.get(name))(stored.data))


def test_the_undamaged_file_is_loaded(stored):
    frame = pd.DataFrame({"a": [1.0, -1.0], "b": [0.0, 0.0], "kind": pd.Series(["x", "y"], dtype="str")})
    assert load(stored, stored.data).predict(frame).tolist() == [True, False]


def test_an_input_that_is_no_feature_is_refused(stored):
    with pytest.raises(Untrusted, match="other inputs"):
        load(stored, stored.data, columns=["a", "b"])


CHILD = """
import sys, pickle
import numpy as np, pandas as pd
from homeostat.bundle.onnx_format.model import OnnxModel
state, files = pickle.load(sys.stdin.buffer)
frame = pd.DataFrame({"a": [1.0, np.nan], "b": [0.0, 1e300], "kind": pd.Series(["x", None], dtype="str")})
read = 0
for data in files:
    model = object.__new__(OnnxModel)
    try:
        model.__setstate__({**state, "data": data, "size": len(data)})
        model.predict(frame)
        read += 1
    except Exception:
        pass
print(read)
"""


def test_damaged_files_that_pass_the_check_do_not_end_the_process(stored):
    """Each goes to ONNX Runtime in a process of its own kind: a crash would end that one."""
    draw, files = random.Random(0), []  # noqa: S311  # which bytes
    for _ in range(3000):
        damaged = bytearray(stored.data)
        for _ in range(draw.choice((1, 2, 8))):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        try:
            check(bytes(damaged))
        except Untrusted:
            continue
        files.append(bytes(damaged))
    assert 50 < len(files) < 2900
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=pickle.dumps((stored.__getstate__(), files)),
        capture_output=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 20


def test_a_candidate_that_names_another_file_is_rolled_back_and_the_champion_serves(tmp_path):
    """Through a gateway, whose champion is ONNX as well."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    numbers = {"a": "number", "b": "number"}
    features = {name: {"type": kind} for name, kind in numbers.items()}
    config = model_config(schema={"label": {"name": "y"}, "features": features})
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=200), "b": rng.normal(size=200)})
    frame["y"] = (frame["a"] > 0).astype(int)
    frame["timestamp"] = pd.date_range("2026-01-01", periods=200, freq="min", tz="UTC")
    matrix = frame[["a", "b"]].to_numpy()
    model = converted(HistGradientBoostingClassifier(max_iter=5).fit(matrix, frame["y"]), matrix, numbers)
    setup = make_gateway_fixture(tmp_path, config)
    registry = setup.ports.registry

    def register(key, change=None):
        folder = tmp_path / key
        reference = make_reference(config, Predictor.of(config, model), frame)
        write_bundle(folder, config, model, reference, {})
        if change is not None:
            crafted = object.__new__(OnnxModel)
            data = change(model.data)
            vars(crafted).update({**model.__getstate__(), "data": data, "size": len(data)})
            (folder / "model.skops").write_bytes(make_deterministic(dumps(crafted)))
        digest = tree_digest(folder)
        run = registry.start_run("pump", key, name="train", tags={})
        found = registry.register("pump", key, run, folder, digest, {"homeostat.gate": "passed"})
        return VersionRef(found.version, digest)

    setup.begin(register("champion"))
    with serving(setup, load="homeostat.bundle.files:load_bundle") as client:
        client.ready()
        setup.begin(register("candidate", edited(outside)))
        until(lambda: setup.traffic().active is None, "the candidate was rolled back")
        assert setup.traffic().champion.version == "1"
        answer = client.score({"a": 2.0, "b": 1.0})
        assert (answer.status_code, answer.headers["x-homeostat-version"]) == (200, "1")
        assert answer.json()["predictions"] == [1]
