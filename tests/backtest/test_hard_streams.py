"""The default training and trigger on streams whose labels are rare, late or lopsided."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from backtest.small_history import MODEL, PIPELINE, in_memory_ports
from homeostat import backtesting
from homeostat.config import load_model

WINDOW, REFERENCE, WINDOWS, CHANGE = 24, 480, 18, 3


def rows_of(seed=0):
    """Return hourly rows whose labels turn in the fourth window after the reference."""
    n = REFERENCE + WINDOW * WINDOWS
    a, b, noise = np.random.default_rng(seed).normal(size=(3, n))
    sign = np.where(np.arange(n) < REFERENCE + WINDOW * CHANGE, 1, -1)
    at = pd.date_range("2026-01-05", periods=n, freq="1h", tz="UTC")
    return pd.DataFrame({"at": at, "a": a, "b": b, "kind": "red", "y": sign * (a + b + 0.3 * noise)})


def two_classes(rows):
    return rows.assign(y=np.where(rows["y"] > 0, "late", "on time"))


def three_classes(rows):
    """One class of three does not occur in the seven windows after the change."""
    y = np.select([rows["y"] > 1, rows["y"] < -1], ["high", "low"], "middle")
    gone = (rows.index >= REFERENCE + CHANGE * WINDOW) & (rows.index < REFERENCE + (CHANGE + 7) * WINDOW)
    return rows.assign(y=np.where(gone & (y == "high"), "middle", y))


def rare_labels(rows):
    """Three rows of four have no label."""
    return two_classes(rows)[rows.index % 4 == 0].reset_index(drop=True)


CASES = {
    "regression": (lambda rows: rows, {"task: classification": "task: regression"}),
    "f1 of a class": (
        two_classes,
        {"gate: {": "gate: {metric: f1, ", "y, delay": "y, positive: late, delay"},
    ),
    "a class that vanishes": (three_classes, {}),
    "late labels": (two_classes, {"delay: 1h": "delay: 72h"}),
    "rare labels": (rare_labels, {}),
}


@pytest.fixture(scope="module", params=sorted(CASES))
def found(request, tmp_path_factory):
    """The backtest of each case, at the default training and trigger."""
    make, changes = CASES[request.param]
    folder = tmp_path_factory.mktemp("models") / "small"
    folder.mkdir()
    text = MODEL.format(task="classification").replace("{kind: sliding, length: 100h}", "{kind: auto}")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    estimator = "LinearRegression" if "regression" in request.param else "LogisticRegression"
    (folder / "model.yaml").write_text(f"{text}serve: none\n")
    (folder / "pipeline.py").write_text(PIPELINE.format(name=estimator))
    rows = make(rows_of())
    window = WINDOW * len(rows) // len(rows_of())
    share = (REFERENCE * window // WINDOW + 0.5) / len(rows)
    config = load_model(folder)
    return backtesting.run_backtest(config, rows, in_memory_ports, windows=window, reference_share=share)


def gain(found, name):
    """How much better than never retraining: in points, or as a share of its error."""
    never, score = found.outcomes["frozen"].score, found.outcomes[name].score
    return (never - score) / never if found.outcomes["frozen"].score > 1 else score - never


def test_the_change_is_learnt(found):
    run = found.outcomes["homeostat"].run
    assert 1 <= run.retrains <= 8
    assert all(result.window.index >= CHANGE for result in run.results if result.promoted)
    assert gain(found, "homeostat") > max(0.1, gain(found, "every_4") - 0.05)
