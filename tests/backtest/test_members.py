"""Versions of several members in a backtest: one training for all policies, each fit once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from backtest.small_history import MODEL, PIPELINE, in_memory_ports
from homeostat import backtesting
from homeostat.config import load_model
from homeostat.retraining import fit as fit_module
from homeostat.retraining.fit_cache import cached_fits, find_fit, fit_key, keep_fit

WINDOW, REFERENCE = 24, 480


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "small"
    folder.mkdir()
    text = MODEL.format(task="classification").replace("{kind: sliding, length: 100h}", "{kind: auto}")
    (folder / "model.yaml").write_text(f"{text}serve: none\n")
    (folder / "pipeline.py").write_text(PIPELINE.format(name="LogisticRegression"))
    return load_model(folder)


def rows_of(windows, *, flip):
    n = REFERENCE + WINDOW * windows
    rng = np.random.default_rng(0)
    a, b, noise = rng.normal(size=(3, n))
    target = np.where(np.arange(n) < REFERENCE + WINDOW * flip, 1, -1) * (a + b + 0.3 * noise)
    at = pd.date_range("2026-01-05", periods=n, freq="1h", tz="UTC")
    return pd.DataFrame({"at": at, "a": a, "b": b, "kind": "red", "y": (target > 0).astype(int)})


def run(config, rows, **more):
    share = (REFERENCE + 0.5) / len(rows)
    return backtesting.run_backtest(
        config, rows, in_memory_ports, windows=WINDOW, reference_share=share, **more
    )


@pytest.fixture(scope="module")
def fits():
    return Counter()


@pytest.fixture(scope="module")
def found(config, fits):
    """A backtest whose labels turn in the fourth window; counts its fits by what is fitted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_module, "keep_fit", lambda key, made: (fits.update([key]), keep_fit(key, made)))
        return run(config, rows_of(12, flip=3))


def test_no_fit_is_made_twice(found, fits):
    """The reference's 9 and 3 without its holdout, 3 for each version.

    The first versions after it have holdouts that begin in the reference: 3 more for each of 3. One, on
    twenty rows, shows the pipeline's types.
    """
    assert set(fits.values()) == {1}
    assert fits.total() == 9 + 3 + 3 * 12 + 3 * 3 + 1


def test_every_policy_begins_with_the_committee_of_the_product(found):
    first = [outcome.run.results[0] for outcome in found.outcomes.values()]
    assert len({result.score for result in first}) == 1
    assert found.outcomes["always"].score > found.outcomes["frozen"].score


def test_processes_fit_the_same_committees(config, found):
    again = run(config, rows_of(12, flip=3), jobs=2)
    assert {name: each.score for name, each in again.outcomes.items()} == {
        name: each.score for name, each in found.outcomes.items()
    }


def test_fits_are_kept_only_where_asked_to_and_by_all_that_they_depend_on(tmp_path):
    matrix, target, weights = np.ones((5, 2)), np.arange(5), np.ones(5)
    assert fit_key("p:build", matrix, target, None) is None
    with cached_fits(tmp_path):
        keys = [
            fit_key("p:build", matrix, target, None),
            fit_key("p:other", matrix, target, None),
            fit_key("p:build", matrix * 2, target, None),
            fit_key("p:build", matrix.reshape(2, 5), target, None),
            fit_key("p:build", matrix, target + 1, None),
            fit_key("p:build", matrix, target, weights),
            fit_key("p:build", pd.DataFrame(matrix), target, weights),
            fit_key("p:build", pd.DataFrame(matrix).assign(c="x"), target, weights),
        ]
        assert len(set(keys)) == len(keys)
        assert keys[0] == fit_key("p:build", matrix.copy(), target.copy(), None)
        keep_fit(keys[0], {"fitted": 1})
        assert find_fit(keys[0]) == {"fitted": 1}
        assert find_fit(keys[1]) is None
        keep_fit(keys[1], lambda: None)
        assert find_fit(keys[1]) is None, "cannot be pickled: fitted again"
    assert find_fit(keys[0]) is None
