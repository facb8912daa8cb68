"""A malicious artifact is refused without running any of its code, and the champion keeps serving.

The attacker also got its digest into the ledger, which is more than an attacker who can merely write to
MLflow or the store achieves: for those, the digest is wrong and nothing is opened at all.
"""

import ast
import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from homeostat.adapters.bundle_files import tree_digest
from homeostat.bundle.files import load_bundle
from homeostat.config.errors import Untrusted
from homeostat.core.rollout import VersionRef
from serving.gateway_harness import make_gateway_fixture, model_config, serving, until

LIBRARY = Path(load_bundle.__code__.co_filename).parents[1]
CANARY = "the payload ran"


@pytest.fixture
def canary(tmp_path):
    """The file that every payload would create; looked for when the test is over."""
    path = tmp_path / CANARY
    yield path
    assert not path.exists()


def good(folder):
    """A real bundle of a small real model."""
    from sklearn.linear_model import LogisticRegression

    from homeostat.bundle.evaluate import make_reference
    from homeostat.bundle.files import write_bundle
    from homeostat.bundle.predictor import Predictor

    config = harmless()
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=200), "b": rng.normal(size=200)})
    frame["y"] = (frame["a"] > frame["b"]).astype(int)
    frame["timestamp"] = pd.date_range("2026-01-01", periods=200, freq="min", tz="UTC")
    estimator = LogisticRegression().fit(frame[["a", "b"]].to_numpy(), frame["y"])
    write_bundle(
        folder, config, estimator, make_reference(config, Predictor.of(config, estimator), frame), {}
    )
    return folder


def harmless():
    return model_config(
        schema={"label": {"name": "y"}, "features": {"a": {"type": "number"}, "b": {"type": "number"}}}
    )


class Payload:
    """Touches the canary as soon as it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch '{self.canary}'",)


def zipped(compression=zipfile.ZIP_STORED, **entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("__", "."), content)
    return out.getvalue()


def node(kind, module, name, **more):
    return {"__loader__": kind, "__module__": module, "__class__": name, "__id__": 1, **more}


def schema(tree):
    return json.dumps(tree | {"protocol": 2, "_skops_version": "0.16"})


def text(value):
    return node("JsonNode", "builtins", "str", content=json.dumps(value), is_json=True)


def calls_system(canary):
    words = node("ListNode", "builtins", "list", content=[text(f"touch '{canary}'")])
    return schema(node("ObjectNode", "subprocess", "Popen", content=words))


def calls_a_method(canary):
    caller = node("TupleNode", "builtins", "tuple", content=[text("touch")])
    return schema(node("OperatorFuncNode", "operator", "methodcaller", attrs=caller))


def method_of_a_path(canary):
    bound = {"func": "touch", "obj": node("ObjectNode", "pathlib", "PosixPath", content=text(str(canary)))}
    return schema(node("MethodNode", "pathlib", "Path", content=bound))


def sparse_bomb():
    """A sparse matrix is a zip file within the zip file: its entry looks small from outside."""
    inner = zipped(zipfile.ZIP_DEFLATED, data__npy=b"\0" * 300_000_000)
    return zipped(schema__json=schema(node("SparseMatrixNode", "scipy.sparse", "csr_matrix")), m__npz=inner)


def huge_array(numbers):
    out = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (numbers,)}
    np.lib.format.write_array_header_1_0(out, header)
    return out.getvalue() + b"x" * 64


def array_that_claims_to_be_huge(numbers=1 << 45):
    tree = node("NdArrayNode", "numpy", "ndarray", type="numpy", file="1.npy")
    return zipped(schema__json=schema(tree), **{"1__npy": huge_array(numbers)})


def sparse_matrix_that_claims_to_be_huge():
    inner = zipped(zipfile.ZIP_DEFLATED, data__npy=huge_array(1 << 45))
    return zipped(schema__json=schema(node("SparseMatrixNode", "scipy.sparse", "csr_matrix")), m__npz=inner)


def array_of_pickles(canary):
    out = io.BytesIO()
    np.save(out, np.array([Payload(canary)], dtype=object), allow_pickle=True)
    tree = node("NdArrayNode", "numpy", "ndarray", type="numpy", file="1.npy")
    return zipped(schema__json=schema(tree), **{"1__npy": out.getvalue()})


ATTACKS = {
    "a pickle": (lambda c: pickle.dumps(Payload(c)), "not a skops file"),
    "a pickle with a zip behind it": (
        lambda c: pickle.dumps(Payload(c)) + zipped(schema__json=calls_system(c)),
        "subprocess.Popen",
    ),
    "a type that starts a process": (lambda c: zipped(schema__json=calls_system(c)), "subprocess.Popen"),
    "a caller of methods": (lambda c: zipped(schema__json=calls_a_method(c)), "operator.methodcaller"),
    "a method of a path": (lambda c: zipped(schema__json=method_of_a_path(c)), "pathlib.Path.touch"),
    "an array of pickled objects": (array_of_pickles, "allow_pickle=False"),
    "an array that claims to be huge": (lambda _: array_that_claims_to_be_huge(), "claims 2814"),
    # As large as the memory of many machines: what is said must not depend on the machine.
    "an array that claims 8 GiB": (lambda _: array_that_claims_to_be_huge(1 << 30), "claims 8589934592"),
    "a sparse matrix that claims to be huge": (
        lambda _: sparse_matrix_that_claims_to_be_huge(),
        "claims 2814",
    ),
    "a zip bomb": (
        lambda _: zipped(zipfile.ZIP_DEFLATED, schema__json=b"0" * 50_000_000),
        "would unpack to 50000000",
    ),
    "a zip bomb in a sparse matrix": (lambda _: sparse_bomb(), "would unpack to 3002"),
    "an entry above its folder": (
        lambda c: zipped(schema__json=b"{}", **{f"../{CANARY}": b"x", str(c): b"x"}),
        "an entry named",
    ),
    "a module by a path": (
        lambda c: zipped(
            schema__json=schema(node("TypeNode", f"homeostat_models.pump.{c.parent}/evil", "X"))
        ),
        "not trusted",
    ),
    "nothing": (lambda _: b"", "not a skops file"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_malicious_artifacts_are_refused_and_none_of_their_code_runs(tmp_path, canary, attack):
    make, said = ATTACKS[attack]
    (tmp_path / "evil.py").write_text(f"import pathlib; pathlib.Path({str(canary)!r}).touch(); X = 1")
    folder = good(tmp_path / "bundle")
    (folder / "model.skops").write_bytes(make(canary))
    with pytest.raises(Untrusted, match=said):
        load_bundle(folder, digest=tree_digest(folder), config=harmless())
    assert not canary.exists()


def test_the_payloads_run_when_loaded_without_protection(tmp_path):
    """That the canary stays away above shows something only if it would come."""
    path = tmp_path / CANARY
    pickle.loads(pickle.dumps(Payload(path)))  # noqa: S301  # that it is unsafe is the point
    assert path.exists()
    path.unlink()
    np.load(io.BytesIO(zipfile.ZipFile(io.BytesIO(array_of_pickles(path))).read("1.npy")), allow_pickle=True)
    assert path.exists()


def test_a_malicious_candidate_is_rolled_back_and_the_champion_serves_throughout(tmp_path, canary):
    setup = make_gateway_fixture(tmp_path, harmless())
    registry = setup.ports.registry

    def register(folder, key):
        digest = tree_digest(folder)
        run = registry.start_run("pump", key, name="train", tags={})
        found = registry.register("pump", key, run, folder, digest, {"homeostat.gate": "passed"})
        return VersionRef(found.version, digest)

    setup.begin(register(good(tmp_path / "champion"), "champion"))
    with serving(setup, load="homeostat.bundle.files:load_bundle") as client:
        client.ready()
        for number, attack in enumerate(("a pickle", "a type that starts a process", "a zip bomb")):
            folder = good(tmp_path / f"bundle {number}")
            (folder / "model.skops").write_bytes(ATTACKS[attack][0](canary))
            ref = register(folder, f"run {number}")
            setup.begin(ref)
            until(lambda: setup.traffic().active is None, f"{attack} was rolled back")
            assert setup.traffic().champion.version == "1"
            answer = client.score({"a": 2.0, "b": 1.0})
            assert (answer.status_code, answer.headers["x-homeostat-version"]) == (200, "1")
            assert str(tmp_path) not in client.http.get("/models/pump").text
        assert not canary.exists()


@pytest.mark.parametrize(
    "digest",
    [
        "../../etc",
        "/etc/passwd",
        "..",
        "",
        "sha256:../x",
        "a" * 15,
        "A" * 64,
        f"{'a' * 64}/..",
        "a" * 64 + "\n",
    ],
)
def test_a_path_is_no_digest(tmp_path, digest):
    from homeostat.serving.sync.bundle_cache import BundleCache

    loader = BundleCache(tmp_path, None, (), load_bundle)
    with pytest.raises(Untrusted, match="no digest"):
        loader.folder(digest)


def test_a_huge_file_is_not_read(tmp_path):
    folder = good(tmp_path / "bundle")
    with (folder / "model.skops").open("r+b") as file:
        file.truncate(5 * 1024**3)  # a hole: it takes no room on the disk
    with pytest.raises(Untrusted, match="the limit is 2048 MB"):
        load_bundle(folder, digest="0" * 64)


@pytest.mark.parametrize("name", ["model.skops", "manifest.json", "reference.bin"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_plain_files_are_opened(tmp_path, name, kind):
    folder = good(tmp_path / "bundle")
    digest = tree_digest(folder)
    (folder / name).rename(tmp_path / name)
    path = folder / name
    {"link": lambda: path.symlink_to(tmp_path / name), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[
        kind
    ]()
    with pytest.raises(Untrusted, match="not a plain file"):
        load_bundle(folder, digest=digest)


# On the way from MLflow, with MLflow's own client of a folder of artifacts


def downloaded(source, digest, to):
    from homeostat.adapters.mlflow_bundle import download

    client = SimpleNamespace(get_model_version_download_uri=lambda *_: source.as_uri())
    version = SimpleNamespace(model="pump", version="7", digest=digest)
    return download(client, "http://127.0.0.1:9", version, to)


def test_an_mlmodel_that_names_code_is_not_fetched(tmp_path, canary):
    source = good(tmp_path / "artifacts")
    digest = tree_digest(source)
    (source / "MLmodel").write_text(
        "flavors:\n  python_function: {loader_module: evil, code: code, data: model.skops, env: conda.yaml}\n"
    )
    (source / "code").mkdir()
    for evil in (source / "code" / "evil.py", source / "evil.py", source / "sitecustomize.py"):
        evil.write_text(f"import pathlib; pathlib.Path({str(canary)!r}).touch()")
    (source / "python_model.pkl").write_bytes(pickle.dumps(Payload(canary)))
    folder = downloaded(source, digest, tmp_path / "cache")
    assert sorted(path.name for path in folder.rglob("*")) == [
        "manifest.json",
        "model.skops",
        "reference.bin",
    ]
    load_bundle(folder, digest=digest, config=harmless())


def test_a_bundle_too_large_in_mlflow_is_not_fetched(tmp_path):
    source = good(tmp_path / "artifacts")
    digest = tree_digest(source)
    with (source / "model.skops").open("r+b") as file:
        file.truncate(3 * 1024**3)
    with pytest.raises(Untrusted, match="the limit is 2048 MB"):
        downloaded(source, digest, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("**/*"))


@pytest.mark.parametrize("name", ["model.skops", "manifest.json"])
def test_a_bundle_changed_in_mlflow_is_deleted(tmp_path, name):
    source = good(tmp_path / "artifacts")
    digest = tree_digest(source)
    (source / name).write_bytes((source / name).read_bytes() + b" ")
    with pytest.raises(Untrusted, match="changed after registration"):
        downloaded(source, digest, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").glob("**/*") if path.is_file()]


# That no other way of loading exists

LOADERS = {
    "pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "mlflow.pyfunc",
    "mlflow.sklearn",
    "mlflow.xgboost",
    "mlflow.artifacts",
    "runpy",
}
CALLS = {"load_model", "load_module", "eval", "exec", "unsafe_load", "full_load", "read_pickle"}


#: Of a module that has a loader, what loads nothing: how many threads predict.
HARMLESS = {"joblib.parallel_config"}


def used_names(tree):
    """Everything that a module imports or calls, by name."""
    for part in ast.walk(tree):
        if isinstance(part, ast.Import):
            yield from (alias.name for alias in part.names)
        elif isinstance(part, ast.ImportFrom):
            names = {f"{part.module}.{alias.name}" for alias in part.names}
            if not names <= HARMLESS:
                yield part.module or ""
            yield from names - HARMLESS
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Name):
            yield f"call:{part.func.id}"
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute):
            owner = part.func.value
            if not (isinstance(owner, ast.Name) and owner.id == "re"):
                yield f"call:{part.func.attr}"


@pytest.mark.parametrize("room", ["gateway", "training", "adapters", "flows", "profile", "config", "rollout"])
def test_no_module_uses_a_loader_that_executes_code(room):
    found = []
    for path in (LIBRARY / room).rglob("*.py"):
        for name in used_names(ast.parse(path.read_text(encoding="utf-8"))):
            banned = any(name == each or name.startswith(f"{each}.") for each in LOADERS)
            # ``load_model`` of config reads a model.yaml.
            called = name.startswith("call:") and name[5:] in CALLS and room != "config"
            if banned or called:
                found.append(f"{path.relative_to(LIBRARY)}: {name}")
    assert found == []


def test_the_only_call_of_skops_passes_our_own_list_of_types():
    calls = []
    for path in LIBRARY.rglob("*.py"):
        for part in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(part, ast.ImportFrom) and (part.module or "").startswith("skops"):
                calls += [(path.name, alias.name) for alias in part.names]
    assert sorted(calls) == [
        ("files.py", "dumps"),
        ("files.py", "get_untrusted_types"),
        ("safe_load.py", "get_untrusted_types"),
        ("safe_load.py", "loads"),
    ]
