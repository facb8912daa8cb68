"""Comparing versions: a step counts once, training rows are left out, missing bundles are skipped."""

import json
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from homeostat.config import load_model
from homeostat.config.errors import Unavailable
from homeostat.core.performance import row_losses
from homeostat.core.rollout import VersionRef
from homeostat.monitoring.context import check_context
from homeostat.monitoring.version_comparison import (
    version_to_reinstate,
    versions_to_compare,
)
from sample_model import MODEL, T0, retrain, rows_between

pytestmark = pytest.mark.usefixtures("quick")
HOUR = timedelta(hours=1)
KEY = "standing/sample.json"


def ref(number):
    return VersionRef(str(number), str(number) * 64)


@pytest.fixture
def config(folder):
    """A model trained on the last twelve hours that serves at once."""
    text = MODEL.replace("length: 10d", "length: 12h").replace(
        "min_rows: 200}", "min_rows: 200, refit: false}", 1
    )
    (folder / "model.yaml").write_text(text + "serve: none\n")
    parts = [rows_between(T0 - timedelta(days=1), T0), rows_between(T0, T0 + 30 * HOUR, flip=True)]
    pd.concat(parts).to_csv(folder / "rows.csv", index=False)
    return load_model(folder)


@pytest.fixture
def learn(config, ports, ask):
    """Train one more version on the twelve hours before this hour; it becomes champion at once."""

    def at(hours):
        ports.clock.advance(T0 + hours * HOUR - ports.clock.now())
        retrain(config, ports, ask(f"at {hours}"))

    return at


@pytest.fixture
def two(learn):
    """Version 1 was trained on the rule, version 2 on its opposite, with data up to T0 + 13 hours."""
    learn(0)
    learn(14)


def context_of(config, ports):
    return check_context(config, ports, ports.ledger.read("sample").champion)


def compare(config, ports, hours, *, flip=True, rows=1, per_hour=60, seed=0):
    """Return the version to reinstate, by the ``rows`` hours whose labels are due at this hour."""
    end = T0 + hours * HOUR
    labelled = rows_between(end - (rows + 1) * HOUR, end - HOUR, flip=flip, per_hour=per_hour, seed=seed)
    promoted_at = ports.ledger.read("sample").promoted_at
    return version_to_reinstate(context_of(config, ports), labelled, end, promoted_at)


def through(config, ports, first, last, **how):
    """Compare at every hour from the first to the last; return the last answer."""
    return [compare(config, ports, hours, seed=hours, **how) for hours in range(first, last + 1)][-1]


def steps(ports):
    return json.loads(ports.store.get(KEY))["steps"]


def test_a_single_champion_is_compared_with_nothing(config, ports, learn):
    learn(0)
    assert compare(config, ports, 2) == ""
    assert not ports.store.exists(KEY)


def test_a_version_that_is_better_stays(config, ports, two):
    assert through(config, ports, 15, 27) == ""


def test_a_former_champion_is_reinstated_after_three_windows_that_neither_learned(config, ports, two):
    """Version 2 serves from hour 14 on; a window is four hours, labels come an hour late."""
    assert through(config, ports, 15, 25, flip=False) == ""
    assert compare(config, ports, 26, flip=False) == "1"


def test_it_must_be_better_by_a_point(config, ports, two):
    assert through(config, ports, 15, 25, flip=False) == ""
    mixed = rows_between(T0 + 24 * HOUR, T0 + 25 * HOUR, flip=True, per_hour=800)
    end, promoted_at = T0 + 26 * HOUR, ports.ledger.read("sample").promoted_at
    assert version_to_reinstate(context_of(config, ports), mixed, end, promoted_at) == ""


def test_an_empty_window_reinstates_nothing(config, ports, two):
    through(config, ports, 15, 18, flip=False)
    assert through(config, ports, 23, 26, flip=False) == ""


def test_a_step_that_is_checked_twice_counts_once(config, ports, two):
    first = compare(config, ports, 16)
    written = ports.store.get(KEY)
    assert compare(config, ports, 16) == first
    assert ports.store.get(KEY) == written
    assert list(steps(ports)) == [(T0 + 16 * HOUR).isoformat()]
    (rows, *_), *others = steps(ports)[(T0 + 16 * HOUR).isoformat()].values()
    assert (rows, others) == (60, [])


def test_late_labels_replace_the_step(config, ports, two):
    compare(config, ports, 16, per_hour=40)
    compare(config, ports, 16, per_hour=60)
    assert [pair[0] for pairs in steps(ports).values() for pair in pairs.values()] == [60]


def test_steps_add_up_and_their_order_does_not_matter(config, ports, two):
    for hours in (16, 18, 17):
        compare(config, ports, hours, seed=hours)
    found, written = compare(config, ports, 19), steps(ports)
    assert list(written) == [(T0 + hours * HOUR).isoformat() for hours in (16, 17, 18, 19)]
    ports.store.delete(KEY)
    for hours in (18, 16, 17):
        compare(config, ports, hours, seed=hours)
    assert compare(config, ports, 19) == found
    assert steps(ports) == written


def test_a_window_of_the_past_ignores_later_steps(config, ports, two):
    early = compare(config, ports, 16, seed=1)
    for hours in (17, 18, 19):
        compare(config, ports, hours, flip=False)
    assert compare(config, ports, 16, seed=1) == early


def test_too_few_rows_reinstate_nothing(config, ports, two):
    few = config.model_copy(update={"monitor": config.monitor.model_copy(update={"min_rows": 100})})
    for hours in (16, 20, 26):
        found = compare(few, ports, hours, flip=False, per_hour=33)
    assert found == "", "99 rows, fewer than monitor.min_rows"
    assert compare(config, ports, 26, flip=False, per_hour=33) == "1"


def test_fewer_than_thirty_rows_are_not_stored(config, ports, two):
    assert compare(config, ports, 16, per_hour=29) == ""
    assert not ports.store.exists(KEY)


def test_rows_that_either_version_was_trained_on_are_left_out(config, ports, two):
    assert compare(config, ports, 14, flip=False) == ""
    assert [pair[0] for pairs in steps(ports).values() for pair in pairs.values()] == [0]
    compare(
        config, ports, 15, rows=3
    )  # the rows of [11, 14), of which version 2 has learnt the first two hours
    assert [pair[0] for pair in steps(ports)[(T0 + 15 * HOUR).isoformat()].values()] == [60]


def test_a_version_without_a_bundle_is_skipped_and_the_others_are_compared(config, ports, learn):
    for hours in (0, 14, 28):
        learn(hours)
    champions = [ports.registry.version("sample", number) for number in ("1", "2", "3")]
    for key in ports.store.list(f"bundles/sample/{champions[0].digest}/"):
        ports.store.delete(key)
    ports.registry.delete("sample", "1")  # otherwise it would be fetched from there
    assert compare(config, ports, 30, flip=False) == ""
    assert set(steps(ports)[(T0 + 30 * HOUR).isoformat()]) == {"3|2"}


def test_an_unavailable_store_is_not_a_missing_bundle(config, ports, two):
    context, rows = context_of(config, ports), rows_between(T0 + 14 * HOUR, T0 + 15 * HOUR)
    ports.store.down = True
    with pytest.raises(Unavailable):
        version_to_reinstate(context, rows, T0 + 16 * HOUR, None)


def test_the_last_eight_champions_are_compared():
    served = [ref(n) for n in range(1, 101)]
    assert [int(one.version) for one in versions_to_compare(served, served[-1])] == [*range(100, 92, -1)]
    back = versions_to_compare([*served, ref(7)], ref(7))
    assert [int(one.version) for one in back] == [7, *range(100, 93, -1)], "a reinstated one counts once"
    assert versions_to_compare([ref(1), ref(2), ref(1)], ref(1)) == [ref(1), ref(2)]


def test_the_loss_is_0_or_1_for_classes_and_the_absolute_error_for_numbers(config):
    rows = pd.DataFrame({"y": ["1", "0", "1"]})
    assert row_losses(config, np.array([1.0, 1.0, np.nan]), rows).tolist() == [0, 1, 1]
    number = config.model_copy(update={"task": "regression"})
    found = row_losses(number, np.array([1.5, np.nan, 3.0]), pd.DataFrame({"y": [1.0, 2.0, 5.0]}))
    np.testing.assert_array_equal(found, [0.5, np.nan, 2.0])
