"""How champions stand: each step counts once, nobody on what it has learnt, the absent are passed over."""

import json
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from homeostat.config import load_model
from homeostat.config.errors import Unavailable
from homeostat.core.rollout import VersionRef
from homeostat.core.trigger import PAYS
from homeostat.monitoring.version_comparison import Standing, _asked, _generations, _losses, standing
from homeostat.monitoring.window import Looked
from homeostat.storage.bundles import load_reference
from sample_model import MODEL, T0, retrain, rows_between

pytestmark = pytest.mark.usefixtures("quick")
HOUR = timedelta(hours=1)
KEY = "standing/toy.json"


def ref(number):
    return VersionRef(str(number), str(number) * 64)


@pytest.fixture
def config(folder):
    """Learns from the last twelve hours and serves at once."""
    text = MODEL.replace("length: 10d", "length: 12h").replace(
        "min_rows: 200}", "min_rows: 200, refit: false}", 1
    )
    (folder / "model.yaml").write_text(text + "serve: none\n")
    parts = [rows_between(T0 - timedelta(days=1), T0), rows_between(T0, T0 + 30 * HOUR, flip=True)]
    pd.concat(parts).to_csv(folder / "rows.csv", index=False)
    return load_model(folder)


@pytest.fixture
def learn(config, ports, ask):
    """One more version, of the twelve hours before this hour; champion at once."""

    def at(hours):
        ports.clock.advance(T0 + hours * HOUR - ports.clock.now())
        retrain(config, ports, ask(f"at {hours}"))

    return at


@pytest.fixture
def two(learn):
    """Version 1 knows the rule, version 2 its opposite and all that happened by T0 + 13 hours."""
    learn(0)
    learn(14)


def look(config, ports):
    champion = ports.ledger.read("toy").champion
    return Looked(config, ports, champion, load_reference(ports, "toy", champion.digest))


def stand(config, ports, hours, *, flip=True, rows=1, per_hour=60, seed=0):
    """Let them answer the ``rows`` hours before the labels of this hour were known."""
    end = T0 + hours * HOUR
    labelled = rows_between(end - (rows + 1) * HOUR, end - HOUR, flip=flip, per_hour=per_hour, seed=seed)
    return standing(look(config, ports), labelled, end)


def steps(ports):
    return json.loads(ports.store.get(KEY))["steps"]


def test_one_champion_has_nobody_to_be_compared_with(config, ports, learn):
    learn(0)
    assert stand(config, ports, 2) == Standing()
    assert not ports.store.exists(KEY)


def test_what_a_retrain_brought_is_its_versions_lead_over_the_one_before(config, ports, two):
    assert stand(config, ports, 16).gain > PAYS
    assert stand(config, ports, 17).recall == ""


def test_a_retrain_that_harmed_has_a_gain_below_nothing_and_its_predecessor_is_recalled(config, ports, two):
    found = stand(config, ports, 16, flip=False)
    assert found.gain < -PAYS
    assert found.recall == "1"


def test_a_step_that_is_looked_at_twice_counts_once(config, ports, two):
    first = stand(config, ports, 16)
    written = ports.store.get(KEY)
    assert stand(config, ports, 16) == first
    assert ports.store.get(KEY) == written
    assert list(steps(ports)) == [(T0 + 16 * HOUR).isoformat()]
    (rows, *_), *others = steps(ports)[(T0 + 16 * HOUR).isoformat()].values()
    assert (rows, others) == (60, [])


def test_labels_that_came_late_replace_what_the_step_was_before(config, ports, two):
    stand(config, ports, 16, per_hour=40)
    stand(config, ports, 16, per_hour=60)
    assert [pair[0] for pairs in steps(ports).values() for pair in pairs.values()] == [60]


def test_steps_add_up_and_their_order_does_not_matter(config, ports, two):
    for hours in (16, 18, 17):
        stand(config, ports, hours, seed=hours)
    found, written = stand(config, ports, 19), steps(ports)
    assert list(written) == [(T0 + hours * HOUR).isoformat() for hours in (16, 17, 18, 19)]
    ports.store.delete(KEY)
    for hours in (18, 16, 17):
        stand(config, ports, hours, seed=hours)
    assert stand(config, ports, 19) == found
    assert steps(ports) == written


def test_a_window_of_the_past_does_not_know_what_came_later(config, ports, two):
    early = stand(config, ports, 16, seed=1)
    for hours in (17, 18, 19):
        stand(config, ports, hours, flip=False)
    assert stand(config, ports, 16, seed=1) == early


def test_a_former_champion_is_recalled_for_the_last_three_windows_only(config, ports, two):
    assert stand(config, ports, 16, flip=False).recall == "1"
    assert stand(config, ports, 27, flip=True, per_hour=10).recall == "1", (
        "within three windows of four hours"
    )
    assert stand(config, ports, 28, flip=True, per_hour=10).recall == ""


def test_too_few_rows_recall_nobody(config, ports, two):
    assert stand(config, ports, 16, flip=False, per_hour=50).recall == "", "fewer than monitor.min_rows"
    assert stand(config, ports, 17, flip=False, per_hour=50).recall == "1", "two steps together are enough"


def test_fewer_than_thirty_rows_are_not_written_down(config, ports, two):
    assert stand(config, ports, 16, per_hour=29) == Standing()
    assert not ports.store.exists(KEY)


def test_rows_that_either_has_learnt_from_are_left_out(config, ports, two):
    assert stand(config, ports, 14, flip=False) == Standing()
    assert [pair[0] for pairs in steps(ports).values() for pair in pairs.values()] == [0]
    stand(
        config, ports, 15, rows=3
    )  # the rows of [11, 14), of which version 2 has learnt the first two hours
    assert [pair[0] for pair in steps(ports)[(T0 + 15 * HOUR).isoformat()].values()] == [60]


def test_whose_bundle_is_gone_is_passed_over_and_the_others_are_compared(config, ports, learn):
    for hours in (0, 14, 28):
        learn(hours)
    champions = [ports.registry.version("toy", number) for number in ("1", "2", "3")]
    for key in ports.store.list(f"bundles/toy/{champions[0].digest}/"):
        ports.store.delete(key)
    ports.registry.delete("toy", "1")  # otherwise it would be fetched from there
    assert stand(config, ports, 30, flip=False).recall == ""
    assert set(steps(ports)[(T0 + 30 * HOUR).isoformat()]) == {"3|2"}


def test_a_store_that_is_away_is_not_a_bundle_that_is_gone(config, ports, two):
    looked, rows = look(config, ports), rows_between(T0 + 14 * HOUR, T0 + 15 * HOUR)
    ports.store.down = True
    with pytest.raises(Unavailable):
        standing(looked, rows, T0 + 16 * HOUR)


def test_each_generation_is_judged_until_the_next_one_came(config, ports, learn):
    """What the first retrain brought stays known when the second one brings nothing."""
    learn(0)
    learn(14)
    helped = stand(config, ports, 20).gain
    learn(28)
    after = stand(config, ports, 30).gain
    assert 0 < after < helped
    pairs = steps(ports)[(T0 + 30 * HOUR).isoformat()]
    assert set(pairs) == {"3|2", "3|1", "2|1"}


def test_a_version_that_came_back_was_not_trained_again():
    assert _generations([ref(1), ref(2)]) == [(ref(1), ref(2))]
    assert _generations([ref(1), ref(2), ref(1)]) == [(ref(1), ref(2))]
    assert _generations([ref(1), ref(2), ref(1), ref(3)]) == [(ref(1), ref(2)), (ref(1), ref(3))]


def test_of_a_hundred_champions_a_handful_is_asked():
    served = [ref(n) for n in range(1, 101)]
    asked = _asked(served, served[-1], (served[-2], served[-1]))
    assert [int(one.version) for one in asked] == [100, 99, 98, 96, 92, 84, 68, 36, 1]
    back = _asked([*served, ref(7)], ref(7), (ref(99), ref(100)))
    assert [int(one.version) for one in back[:4]] == [7, 100, 99, 97]
    assert len(set(back)) == len(back)
    assert _asked([ref(1), ref(2)], ref(2), (ref(1), ref(2))) == [ref(2), ref(1)]


def test_a_wrong_class_costs_one_and_a_number_its_distance(config):
    rows = pd.DataFrame({"y": ["1", "0", "1"]})
    assert _losses(config, np.array([1.0, 1.0, np.nan]), rows).tolist() == [0, 1, 1]
    number = config.model_copy(update={"task": "regression"})
    found = _losses(number, np.array([1.5, np.nan, 3.0]), pd.DataFrame({"y": [1.0, 2.0, 5.0]}))
    np.testing.assert_array_equal(found, [0.5, np.nan, 2.0])
