"""The labelled pairs that a gateway writes from files in the store: in any order, after any restart."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from homeostat.adapters import fake_ports
from homeostat.config.errors import Unavailable
from homeostat.core.rollout import LABELLED_PAIRS, LabelFacts, Plan, Tally, begin, promote, roll_back
from homeostat.core.rollout.phases import Phase, Traffic, VersionRef
from homeostat.core.rollout.transitions import enter
from homeostat.serving.sync.label_evidence import WRITE_AGAIN, LabelEvidence
from homeostat.storage.prediction_log import write_labels, write_predictions
from serving.gateway_harness import model_config

T0 = datetime(2026, 3, 2, 8, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FORMER, NEW = VersionRef("1", "d1"), VersionRef("2", "d2")
RIGHT, WRONG = "1", "0"


class RolloutFixture:
    """A store and a ledger with a rollout in shadow since T0, and what gateways log."""

    def __init__(self, task="classification", **more):
        self.config = model_config(task=task, **more)
        self.ports = fake_ports(start=T0)
        self.plan = Plan.of(self.config, labels=LabelFacts(spread=1.0))
        self.traffic = Traffic("pump", 0, champion=FORMER)
        self.write(begin(self.traffic, NEW, "r1", self.plan, T0))
        self.enter(Phase.SHADOW)
        self.serial = 0

    def write(self, step):
        at = self.ports.clock.now()
        self.traffic = self.ports.ledger.write(
            step.traffic.at(self.traffic.revision), kind=step.kind, reason=step.reason, by="test", at=at
        )

    def enter(self, phase):
        self.write(enter(self.traffic, self.traffic.rollout, phase, self.ports.clock.now(), "test"))

    def predictions(self, names, version, variant, prediction, *, at=None, times=None, rollout="r1"):
        """Log predictions received at this time; return a function that uploads their file."""
        at = at or self.ports.clock.now()
        self.serial += 1
        columns = {
            "prediction_id": list(names),
            "at": [times or at] * len(names),
            "received_at": [at] * len(names),
            "version": [version] * len(names),
            "variant": [variant] * len(names),
            "rollout": [rollout] * len(names),
            "prediction": [prediction] * len(names),
        }
        return lambda n=self.serial: write_predictions(self.ports.store, self.config, "g", n, columns)

    def both(self, names, mine, theirs, *, at=None, **more):
        """Log requests that the champion served and the candidate predicted in shadow."""
        served = self.predictions(names, "1", "champion", theirs, at=at, **more)
        return [served, self.predictions(names, "2", "shadow", mine, at=at, **more)]

    def labels(self, names, label, *, known=None, received=None):
        received = received or self.ports.clock.now()
        self.serial += 1
        columns = {
            "prediction_id": list(names),
            "label": [label] * len(names),
            "at": [known or received] * len(names),
            "received_at": [received] * len(names),
        }
        return lambda n=self.serial: write_labels(self.ports.store, self.config, "g", n, columns)

    def gateway(self):
        """Return a gateway's reader: ``read()`` reads everything, ``tally()`` is the ledger's evidence."""
        model = SimpleNamespace(name="pump", config=self.config, table=SimpleNamespace(traffic=self.traffic))
        evidence = LabelEvidence({"pump": model}, self.ports, every=1.0)

        def read():
            model.table.traffic = self.traffic
            while evidence.update(model):
                pass
            return self.tally()

        return read

    def tally(self, rollout="r1"):
        return self.ports.ledger.evidence("pump", rollout).get(LABELLED_PAIRS, Tally())


@pytest.fixture
def rollout():
    return RolloutFixture()


def upload(files):
    for each in files:
        each()


def counts(both_right=0, only_other_wrong=0, only_candidate_wrong=0, both_wrong=0):
    losses = (both_right, only_other_wrong, only_candidate_wrong, both_wrong)
    return Tally(rows=sum(losses), losses=losses)


def test_pairs_in_shadow_are_counted_with_their_labels(rollout):
    upload(rollout.both(["a", "b"], RIGHT, WRONG) + rollout.both(["c"], WRONG, WRONG))
    upload([rollout.labels(["a", "c", "of no request"], RIGHT)])
    assert rollout.gateway()() == counts(only_other_wrong=1, both_wrong=1)


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_files_and_any_restart_give_the_same_evidence(seed):
    rollout = RolloutFixture()
    names = [f"r{i}" for i in range(30)]
    files = rollout.both(names[:10], RIGHT, WRONG) + rollout.both(names[10:20], WRONG, RIGHT)
    rollout.ports.clock.advance(5 * MINUTE)
    files += rollout.both(names[20:], RIGHT, RIGHT)
    files += [
        rollout.labels(names[:15], RIGHT),
        rollout.labels(names[5:25], RIGHT),
        rollout.labels(names[:3], RIGHT),
    ]
    chance = np.random.default_rng(seed)
    chance.shuffle(files)
    read = rollout.gateway()
    for file in files:
        file()
        read()
        if chance.random() < 0.3:
            read = rollout.gateway()  # a restart
        rollout.ports.clock.advance(timedelta(seconds=int(chance.integers(20))))
    wanted = counts(only_other_wrong=10, only_candidate_wrong=10, both_right=5)
    assert read() == wanted
    assert rollout.gateway()() == wanted


def test_only_this_rollouts_shadow_counts(rollout):
    upload(rollout.both(["old"], WRONG, RIGHT, at=T0 - HOUR, rollout="r0"))
    upload(rollout.both(["other"], WRONG, RIGHT, rollout="r0"))
    upload(
        [
            rollout.predictions(["pinned"], "2", "pinned", WRONG),
            rollout.predictions(["pinned"], "1", "champion", RIGHT),
        ]
    )
    upload(
        [
            rollout.predictions(["third"], "3", "champion", RIGHT),
            rollout.predictions(["third"], "2", "shadow", WRONG),
        ]
    )
    upload(rollout.both(["a"], RIGHT, RIGHT))
    upload([rollout.labels(["old", "other", "pinned", "third", "a"], RIGHT)])
    assert rollout.gateway()() == counts(both_right=1)


def test_labels_may_come_days_later_and_be_dated_before(rollout):
    upload(rollout.both(["a", "b"], RIGHT, WRONG))
    read = rollout.gateway()
    read()
    rollout.ports.clock.advance(timedelta(days=3))
    upload([rollout.labels(["a"], RIGHT), rollout.labels(["b"], RIGHT, known=T0 - HOUR)])
    assert read() == counts(only_other_wrong=2)


@pytest.mark.parametrize("age", [0, 20, 23, 24, 25, 26, 24 * 400])
def test_rows_with_times_of_their_own_are_found_however_old_they_are(rollout, age):
    upload(rollout.both(["a"], RIGHT, WRONG, times=T0 - age * HOUR))
    upload([rollout.labels(["a"], RIGHT, known=T0 - age * HOUR)])
    assert rollout.gateway()() == counts(only_other_wrong=1)


def test_old_rows_of_before_the_rollout_are_not_read(rollout):
    before = T0 - 2 * HOUR
    upload(rollout.both(["a"], RIGHT, WRONG, at=before, times=T0 - 400 * HOUR))
    upload([rollout.labels(["a"], RIGHT)])
    assert rollout.gateway()() == Tally()


def test_files_of_old_rows_that_were_received_before_the_rollout_are_not_opened(rollout):
    """Replayed traffic has a file for every hour of its rows: thousands within the hour before a rollout."""
    upload(rollout.both(["a"], RIGHT, WRONG, at=T0 - 5 * MINUTE, times=T0 - 400 * HOUR))
    upload([rollout.labels(["a"], RIGHT, known=T0 - 399 * HOUR, received=T0 - 5 * MINUTE)])
    opened, store_get = [], rollout.ports.store.get
    rollout.ports.store.get = lambda key: opened.append(key) or store_get(key)
    assert rollout.gateway()() == Tally()
    assert opened
    assert not [key for key in opened if key.endswith(".parquet")]


def test_an_index_of_a_former_release_is_a_list_of_files(rollout):
    store = rollout.ports.store
    upload(rollout.both(["a"], RIGHT, WRONG, times=T0 - 400 * HOUR))
    upload([rollout.labels(["a"], RIGHT)])
    for key in [each for each in store.list("log/pump/") if each.endswith(".json")]:
        store.put(key, json.dumps(json.loads(store.get(key))["files"]).encode(), overwrite=True)
    assert rollout.gateway()() == counts(only_other_wrong=1)


def test_old_rows_that_come_while_it_reads_are_found(rollout):
    read = rollout.gateway()
    read()
    rollout.ports.clock.advance(2 * MINUTE)
    upload(rollout.both(["a"], RIGHT, WRONG, times=T0 - 400 * HOUR))
    upload([rollout.labels(["a"], RIGHT, known=T0 - 399 * HOUR)])
    assert read() == counts(only_other_wrong=1)


def test_a_file_that_is_uploaded_late_into_an_old_hour_is_found(rollout):
    late = rollout.both(["a"], RIGHT, WRONG)
    read = rollout.gateway()
    read()
    rollout.ports.clock.advance(6 * HOUR)
    upload(late)
    upload([rollout.labels(["a"], RIGHT)])
    rollout.ports.clock.advance(11 * MINUTE)
    assert read() == counts(only_other_wrong=1)


def test_a_label_dated_in_the_last_hours_is_found_at_once(rollout):
    upload(rollout.both(["a"], RIGHT, WRONG))
    rollout.ports.clock.advance(6 * HOUR)
    read = rollout.gateway()
    read()
    upload([rollout.labels(["a"], RIGHT, known=rollout.ports.clock.now() - HOUR)])
    assert read() == counts(only_other_wrong=1)


def test_each_file_is_read_once(rollout):
    read = rollout.gateway()
    opened = []
    store_get = rollout.ports.store.get
    rollout.ports.store.get = lambda key: opened.append(key) or store_get(key)
    upload(rollout.both(["a"], RIGHT, WRONG))
    for _ in range(3):
        read()
    upload([rollout.labels(["a"], RIGHT)])
    for _ in range(3):
        read()
        rollout.ports.clock.advance(15 * MINUTE)
    assert len(opened) == len(set(opened)) == 3


def test_an_unreadable_file_is_left_out_and_the_others_count(rollout):
    upload(rollout.both(["a"], RIGHT, WRONG))
    upload([rollout.labels(["a"], RIGHT)])
    rollout.ports.store.put(f"log/pump/labels/date={T0:%Y-%m-%d}/hour={T0:%H}/g-99999999.parquet", b"cut off")
    assert rollout.gateway()() == counts(only_other_wrong=1)


@pytest.mark.parametrize("what", ["store", "ledger"])
def test_while_a_service_is_away_nothing_is_written_and_later_all_of_it(rollout, what):
    upload(rollout.both(["a", "b"], RIGHT, WRONG))
    read = rollout.gateway()
    upload([rollout.labels(["a"], RIGHT)])
    assert read().rows == 1
    upload([rollout.labels(["b"], RIGHT)])
    service = getattr(rollout.ports, what)
    service.down = True
    with pytest.raises(Unavailable):
        read()
    service.down = False
    assert read() == counts(only_other_wrong=2)


def test_evidence_is_written_only_when_every_listed_file_was_read(rollout):
    upload(rollout.both(["a", "b"], RIGHT, WRONG))
    upload([rollout.labels(["a", "b"], RIGHT)])
    assert rollout.gateway()().rows == 2
    restarted, store_get = rollout.gateway(), rollout.ports.store.get

    def fails_on_labels(key):
        if "/labels/" in key:
            raise Unavailable("the store does not answer")
        return store_get(key)

    rollout.ports.store.get = fails_on_labels
    with pytest.raises(Unavailable):
        restarted()
    assert rollout.tally().rows == 2, "half of the files is no evidence"
    rollout.ports.store.get = store_get
    assert restarted().rows == 2


def test_evidence_that_another_gateway_replaced_by_less_is_restored(rollout):
    upload(rollout.both(["a"], RIGHT, WRONG))
    upload([rollout.labels(["a"], RIGHT)])
    read = rollout.gateway()
    read()
    rollout.ports.ledger.replace_evidence("pump", "r1", "labels", {LABELLED_PAIRS: Tally()})
    rollout.ports.clock.advance(WRITE_AGAIN)
    assert read() == counts(only_other_wrong=1)


def test_the_canary_goes_on_counting_labels_of_the_shadow(rollout):
    upload(rollout.both(["a"], RIGHT, WRONG))
    rollout.ports.clock.advance(HOUR)
    rollout.enter(Phase.CANARY)
    rollout.ports.clock.advance(HOUR)
    upload(
        [
            rollout.predictions(["b"], "1", "champion", WRONG),
            rollout.predictions(["c"], "2", "candidate", WRONG),
        ]
    )
    upload([rollout.labels(["a", "b", "c"], RIGHT)])
    assert rollout.gateway()() == counts(only_other_wrong=1)


def test_after_the_promotion_the_roles_change(rollout):
    upload(rollout.both(["a"], RIGHT, WRONG))
    rollout.ports.clock.advance(HOUR)
    rollout.enter(Phase.CHAMPION)
    assert rollout.traffic.rollout.reverse_shadow_until == T0 + 2 * HOUR
    upload([rollout.predictions(["b"], "2", "champion", WRONG, rollout="")])
    upload([rollout.predictions(["b"], "1", "shadow", RIGHT)])
    upload([rollout.labels(["a", "b"], RIGHT)])
    assert rollout.gateway()() == counts(only_other_wrong=1, only_candidate_wrong=1)


def test_a_promotion_without_a_shadow_is_compared_in_the_reverse_shadow(rollout):
    upload(rollout.both(["a"], WRONG, RIGHT))
    third = VersionRef("3", "d3")
    rollout.ports.clock.advance(HOUR)
    rollout.write(promote(rollout.traffic, third, rollout.ports.clock.now(), "by hand"))
    manual = rollout.traffic.rollout.id
    upload([rollout.predictions(["b"], "3", "champion", RIGHT, rollout="")])
    upload([rollout.predictions(["b"], "1", "shadow", WRONG, rollout=manual)])
    upload([rollout.labels(["a", "b"], RIGHT)])
    rollout.gateway()()
    assert rollout.tally(manual) == counts(only_other_wrong=1)


def test_labels_are_awaited_for_their_delay_after_the_reverse_shadow_and_then_no_longer(rollout):
    rollout.ports.clock.advance(HOUR)
    rollout.enter(Phase.CHAMPION)
    upload([rollout.predictions(["b", "c"], "2", "champion", WRONG, rollout="")])
    upload([rollout.predictions(["b", "c"], "1", "shadow", RIGHT)])
    read = rollout.gateway()
    rollout.ports.clock.advance(3 * HOUR)
    upload([rollout.labels(["b"], RIGHT)])
    assert read() == counts(only_candidate_wrong=1)
    rollout.ports.clock.advance(timedelta(days=2))
    upload([rollout.labels(["c"], RIGHT)])
    assert read() == counts(only_candidate_wrong=1)


def test_a_rolled_back_rollout_is_read_no_longer(rollout):
    upload(rollout.both(["a"], RIGHT, WRONG))
    upload([rollout.labels(["a"], RIGHT)])
    rollout.write(roll_back(rollout.traffic, "test", rollout.ports.clock.now()))
    assert rollout.gateway()() == Tally()


@pytest.mark.parametrize("change", [{"metric": "f1"}, {"metric": ""}])
def test_a_metric_that_is_no_mean_is_not_compared(rollout, change):
    changed = replace(rollout.traffic.rollout, plan=replace(rollout.plan, **change))
    rollout.traffic = replace(rollout.traffic, rollout=changed)
    upload(rollout.both(["a"], RIGHT, WRONG))
    upload([rollout.labels(["a"], RIGHT)])
    assert rollout.gateway()() == Tally()


def test_regression_counts_errors_in_units_of_the_labels_spread():
    rollout = RolloutFixture(task="regression")
    upload(rollout.both(["a"], 3.0, 1.0))
    upload([rollout.labels(["a"], 3.0)])
    tally = rollout.gateway()()
    levels = round(len(tally.losses) ** 0.5)
    assert tally.rows == 1
    assert tally.losses.index(1) == levels - 1, "no error, and one of twice the spread or more"


def test_labels_stored_under_another_spelling_are_mapped():
    rollout = RolloutFixture()
    label = rollout.config.columns.label.model_copy(update={"mapping": {"yes": "1"}})
    columns = rollout.config.columns.model_copy(update={"label": label})
    rollout.config = rollout.config.model_copy(update={"columns": columns})
    upload(rollout.both(["a"], RIGHT, WRONG))
    upload([rollout.labels(["a"], "yes")])
    assert rollout.gateway()() == counts(only_other_wrong=1)


def test_many_events_of_the_model_are_not_all_read(rollout):
    for _ in range(100):
        rollout.write(SimpleNamespace(traffic=rollout.traffic, kind="extended", reason="test"))
    upload(rollout.both(["a"], RIGHT, WRONG))
    upload([rollout.labels(["a"], RIGHT)])
    assert rollout.gateway()() == counts(only_other_wrong=1)
