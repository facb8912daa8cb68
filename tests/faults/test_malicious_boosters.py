"""A crafted or damaged file of a booster is refused before its library reads it.

The libraries follow a tree's indices unchecked, and some end the process where their text is broken: most
cases below would hang or end a gateway that loaded them, or take its memory.
"""

import json
import random
import re

import numpy as np
import pytest

from homeostat.bundle.boosters import catboost_format, lightgbm_format, xgboost_format
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
    "a blob of zeros": ("catboost", lambda data: data[:8] + bytes(len(data) - 8), "cannot read"),
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
