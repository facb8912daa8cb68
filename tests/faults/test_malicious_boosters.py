"""A crafted or damaged file of a booster is refused before its library reads it.

The libraries follow a tree's indices unchecked, and some end the process where their text is broken: most
cases below would hang or end a gateway that loaded them, or take its memory.
"""

import json
import random
import re

import numpy as np
import pandas as pd
import pytest

from homeostat.bundle.boosters import (
    catboost_core,
    catboost_format,
    flatbuffer,
    lightgbm_format,
    xgboost_format,
)
from homeostat.bundle.boosters.stored import StoredBooster
from homeostat.bundle.deterministic import make_deterministic
from homeostat.bundle.safe_load import load_estimator
from homeostat.config.errors import Untrusted


def fitted(library):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(400, 2))
    target = (numbers.sum(axis=1) > 0).astype(int)
    if library == "xgboost":
        from xgboost import XGBClassifier

        return XGBClassifier(n_estimators=4).fit(numbers, target)
    if library == "lightgbm":
        from lightgbm import LGBMClassifier

        return LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1).fit(numbers, target)
    from catboost import CatBoostClassifier

    return CatBoostClassifier(iterations=4, verbose=False, allow_writing_files=False).fit(numbers, target)


@pytest.fixture(scope="module")
def stored():
    """One fitted booster of each library, as a bundle holds it."""
    return {library: StoredBooster(fitted(library)) for library in ("xgboost", "lightgbm", "catboost")}


def load(
    booster,
    **changes,
):
    """Load the booster from the bytes of a bundle, with other attributes than it has."""
    from skops.io import dumps

    crafted = object.__new__(StoredBooster)
    vars(crafted).update({**vars(booster), **changes})
    return load_estimator(make_deterministic(dumps(crafted)), "model.skops", "sample", ())


def edited(change):
    """Return what edits the JSON of XGBoost's first tree."""

    def edit(data):
        whole = json.loads(data)
        change(whole["learner"]["gradient_booster"]["model"]["trees"][0])
        return json.dumps(whole).encode()

    return edit


def number(field, value, kind="<i4"):
    """Return what edits the first number of a vector of CatBoost's trees."""

    def edit(data):
        core = bytearray(data[8:])
        place = flatbuffer.Table.root(bytes(core)).table(1)
        at = place.offset(field)
        at += int.from_bytes(core[at : at + 4], "little") + 4
        core[at : at + 4] = np.array([value]).astype(kind).tobytes()
        return data[:8] + bytes(core)

    return edit


def line(name, change):
    """Return what edits the first line of LightGBM's text with this name, and keeps the size of its tree."""

    def edit(data):
        text = data.decode()
        found = re.search(rf"(?m)^{name}=(.*)$", text)
        return (text[: found.start(1)] + change(found[1]) + text[found.end(1) :]).encode()

    return edit


ATTACKS = {
    "JSON nested without end": ("xgboost", lambda _: b'{"learner":' + b"[" * 5_000_000, "RecursionError"),
    "a number without end": ("xgboost", lambda _: b'{"learner":' + b"9" * 100_000, "ValueError"),
    "a pickle": ("xgboost", lambda _: b"\x80\x04cos\nsystem\n", "no JSON of XGBoost"),
    "a node that is its own child": (
        "xgboost",
        edited(lambda tree: tree["left_children"].__setitem__(1, 1)),
        "two parents",
    ),
    "a child outside the tree": (
        "xgboost",
        edited(lambda tree: tree["left_children"].__setitem__(0, 1 << 30)),
        "outside its range",
    ),
    "a feature outside the row": (
        "xgboost",
        edited(lambda tree: tree["split_indices"].__setitem__(0, 7)),
        "a feature outside",
    ),
    "more nodes than it has": (
        "xgboost",
        edited(lambda tree: tree["tree_param"].__setitem__("num_nodes", str(1 << 31))),
        "without a child",
    ),
    "a tree that goes round": (
        "lightgbm",
        line("left_child", lambda text: "0" + text[1:]),
        "outside its range",
    ),
    "a text among the numbers": (
        "lightgbm",
        line("internal_value", lambda text: "x" + text[1:]),
        "a text where",
    ),
    "a jump outside the file": ("lightgbm", line("tree_sizes", lambda text: "9" + text), "another size"),
    "many classes": ("lightgbm", line("num_class", lambda _: "2000000000"), "disagree"),
    "a text cut short": ("lightgbm", lambda data: data[: len(data) // 2], "no end"),
    "a blob cut short": ("catboost", lambda data: data[: len(data) // 2], "no complete cbm file"),
    "a blob without its first bytes": ("catboost", lambda data: data[4:], "no complete cbm file"),
    "a blob without its last byte": ("catboost", lambda data: data[:-1], "no complete cbm file"),
    "a blob of zeros": ("catboost", lambda data: data[:8] + bytes(len(data) - 8), "a booster in the bundle"),
    "a split of no feature": ("catboost", number(catboost_core._SPLITS, 1 << 30), "a split outside"),
    "a tree outside the blob": ("catboost", number(catboost_core._STARTS, 1 << 20), "a tree outside"),
    "a tree of 2^60 leaves": ("catboost", number(catboost_core._SIZES, 60), "outside"),
    "a column of no row": ("catboost", number(catboost_core._REPACKED, 0xFFFF, "<u4"), "a split outside"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_crafted_booster_is_refused(stored, attack):
    library, craft, said = ATTACKS[attack]
    booster = stored[library]
    assert load(booster).predict(np.zeros((3, 2))).shape == (3,), "the original is loaded"
    with pytest.raises(Untrusted, match=said):
        load(booster, data=craft(booster.data))


@pytest.mark.parametrize(
    "kind", ["os.system", "xgboost.Booster", "lightgbm.LGBMClassifier.fit", "builtins.eval"]
)
def test_no_other_class_is_made(stored, kind):
    with pytest.raises(Untrusted, match="not among those"):
        load(stored["xgboost"], kind=kind)


@pytest.mark.parametrize(
    ("library", "check"),
    [
        ("xgboost", xgboost_format.check),
        ("lightgbm", lightgbm_format.check),
        ("catboost", catboost_format.check),
    ],
    ids=["xgboost", "lightgbm", "catboost"],
)
def test_random_damage_is_a_refusal_and_no_other_error(stored, library, check):
    data, refused = stored[library].data, 0
    for seed in range(300):
        draw = random.Random(seed)  # noqa: S311  # damage, no secret
        damaged = bytearray(data[: draw.choice([len(data), draw.randrange(len(data))])])
        for _ in range(draw.choice([1, 3, 10])):
            if damaged:
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        try:
            check(bytes(damaged))
        except Untrusted:
            refused += 1
    assert refused > 100


SHAPES = {
    "oblivious": {},
    "lossguide": {"grow_policy": "Lossguide"},
    "depthwise": {"grow_policy": "Depthwise"},
    "one-hot": {"one_hot_max_size": 10},
    "many borders": {"border_count": 1000},
    "combinations": {"max_ctr_complexity": 3},
    "single splits": {"depth": 1},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_catboost_itself_writes_is_accepted(shape):
    from catboost import CatBoostClassifier

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.normal(size=800) for name in ("a", "b", "c")})
    frame["kind"] = rng.choice(np.array(["u", "v", "w", "x"], dtype=object), 800)
    frame["other"] = rng.choice(np.array(["u", "v"], dtype=object), 800)
    label = ((frame["kind"] == "u") | (frame["a"] > 1)).astype(int) + (frame["b"] > 1)
    more = SHAPES[shape]
    for rounds in (1, 40):
        booster = CatBoostClassifier(
            iterations=rounds,
            verbose=False,
            allow_writing_files=False,
            cat_features=["kind", "other"],
            **more,
        )
        stored = StoredBooster(booster.fit(frame, label))
        assert np.array_equal(load(stored).predict_proba(frame), booster.predict_proba(frame))
