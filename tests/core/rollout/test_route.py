from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import homeostat
from homeostat.core.rollout import choose_variant
from homeostat.core.rollout.route import position

SHARES = st.floats(0, 1)


@settings(max_examples=100)
@given(key=st.text(), salt=st.text(), low=SHARES, high=SHARES)
def test_raising_the_share_keeps_the_keys_of_the_candidate(key, salt, low, high):
    low, high = sorted((low, high))
    if choose_variant(key, salt, low) == "candidate":
        assert choose_variant(key, salt, high) == "candidate"


@settings(max_examples=50)
@given(key=st.text(st.characters(codec=None)), salt=st.text())
def test_every_key_has_a_position_even_invalid_unicode(key, salt):
    assert 0 <= position(key, salt) < 1
    assert choose_variant(key, salt, 0) == "champion"
    assert choose_variant(key, salt, 1) == "candidate"


@pytest.mark.parametrize(("share", "control"), [(0.1, 0.1), (0.5, 0.5), (0.6, 0.4), (0.9, 0.1), (1.0, 0.0)])
def test_cohorts_are_as_large_as_they_should_be(share, control):
    n = 20_000
    found = Counter(choose_variant(str(i), "rollout-7", share) for i in range(n))
    assert found["candidate"] / n == pytest.approx(share, abs=0.02)
    assert found["control"] / n == pytest.approx(control, abs=0.02)


def test_another_rollout_reshuffles_the_keys():
    both = sum(
        choose_variant(str(i), "a", 0.1) == choose_variant(str(i), "b", 0.1) == "candidate"
        for i in range(20_000)
    )
    assert both / 20_000 == pytest.approx(0.01, abs=0.005)


def test_another_process_routes_the_same():
    code = (
        "from homeostat.core.rollout.route import position; print([position(str(i), 's') for i in range(50)])"
    )
    env = os.environ | {"PYTHONPATH": str(Path(homeostat.__file__).parents[1]), "PYTHONHASHSEED": "77"}
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)
    assert found.stdout.strip() == str([position(str(i), "s") for i in range(50)])
