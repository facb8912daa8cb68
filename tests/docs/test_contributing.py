"""The worked examples of CONTRIBUTING.md run and keep the contracts of their kind."""

import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from homeostat.config import ModelConfig
from homeostat.core.gate import GateEvidence
from homeostat.core.profile import count_series, fit_edges
from homeostat.core.rollout import HealthVerdict, Tally
from homeostat.core.rollout.health import CandidateEvidence
from homeostat.ports import Notice, NoticeKind
from rollout_plan import PLAN

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"```python ([\w-]+)\n(.*?)```", PAGE, re.DOTALL))


def example(kind, name):
    namespace = {}
    exec(EXAMPLES[kind], namespace)  # noqa: S102  # the page's own code
    return namespace[name]


def test_each_example_is_short():
    assert set(EXAMPLES) == {"drift-test", "gate-check", "health-check", "adapter"}
    for code in EXAMPLES.values():
        body = [line for line in code.splitlines() if line and not line.startswith(("import", "from"))]
        assert len(body) <= 10


def test_the_drift_test_is_zero_without_drift_and_near_one_without_overlap():
    hellinger = example("drift-test", "hellinger")
    reference = pd.Series(np.linspace(0, 1, 500))
    edges = fit_edges(reference.to_frame("v"), {"v": "number"}, max_edges=16).features["v"]
    counts = [count_series(edges, rows) for rows in (reference, reference + 10, pd.Series(dtype=float))]
    assert hellinger(counts[0], counts[0]).value == pytest.approx(0)
    assert hellinger(counts[0], counts[1]).value > 0.9
    assert hellinger(counts[0], counts[2]).value is None


@pytest.mark.parametrize(("found", "verdict"), [(40, "pass"), (1, "alert"), (None, "not_computable")])
def test_the_gate_check_decides(found, verdict):
    config = ModelConfig.model_validate(
        {
            "name": "sample",
            "task": "classification",
            "pipeline": "pipeline.py:build",
            "source": {"kind": "csv", "uri": "x.csv"},
            "schema": {"label": {"name": "y"}, "features": {"kind": {"type": "category"}}},
        }
    )
    assert (
        example("gate-check", "distinct")(GateEvidence(distinct_predictions=found), config).verdict == verdict
    )


@pytest.mark.parametrize(("nan", "verdict"), [(0, HealthVerdict.PASS), (100, HealthVerdict.FAIL)])
def test_the_health_check_decides(nan, verdict):
    tallies = {
        ("canary:0", "candidate"): Tally(rows=400, nan=nan),
        ("canary:0", "champion"): Tally(rows=400),
    }
    evidence = CandidateEvidence(PLAN, "canary:0", tallies, alpha=0.002)
    assert PLAN.step_duration == timedelta(hours=1)
    assert example("health-check", "nan_only")(evidence).verdict == verdict


def test_the_adapter_is_a_notifier(tmp_path):
    notifier = example("adapter", "FileNotifier")(tmp_path / "notices.txt")
    notifier.notify(["alerts"], Notice(NoticeKind.PROMOTED, "pump", "version 3 is champion", ""))
    assert notifier.path.read_text() == "promoted pump: version 3 is champion\n"


def test_every_file_and_make_target_on_the_page_exists():
    for path in re.findall(r"`((?:[\w.]+/)+[\w.]+\.(?:py|md|gz))`", PAGE):
        if "hellinger" not in path:
            assert any((base / path).exists() for base in (ROOT, ROOT / "include" / "homeostat")), path
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z]+)", PAGE)) <= set(targets)
