"""A retrain ends after its probe where it does not pay, and goes on where it does, or where it must."""

import json
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from homeostat.config import load_model
from homeostat.config.errors import Superseded
from homeostat.core.rollout import Phase
from homeostat.core.trigger import RetrainResult, WindowRecord
from homeostat.monitoring.drift_check import check_drift
from homeostat.retraining import member_fits
from homeostat.retraining.assemble import assemble
from homeostat.retraining.train import train
from homeostat.retraining.validate_on_holdout import validate
from homeostat.retraining.worthwhile import conclude_probe
from homeostat.rollouts.lifecycle import finalize
from homeostat.storage.ageing_record import load_ageing
from homeostat.storage.bundles import load_version
from homeostat.storage.step_results import load_result
from homeostat.storage.trigger_outcomes import past_retrains
from homeostat.storage.version_info import load_version_info
from sample_model import MODEL, T0, notices, retrain, rows_between

pytestmark = pytest.mark.usefixtures("quick")
HOUR = timedelta(hours=1)


def write(folder, *parts):
    pd.concat([rows_between(T0 - timedelta(days=5), T0), *parts]).to_csv(folder / "rows.csv", index=False)


@pytest.fixture
def config(folder):
    """A model without a gateway, whose window is four hours; labels come an hour late."""
    (folder / "model.yaml").write_text(MODEL + "serve: none\n")
    return load_model(folder)


@pytest.fixture
def stable(config, ports, ask):
    """Version 1 serves, and twelve hours later nothing has changed."""
    retrain(config, ports, ask("first"))
    write(config.folder, rows_between(T0, T0 + 40 * HOUR))
    ports.clock.advance(12 * HOUR)
    ports.notifier.sent.clear()


@pytest.fixture
def turned(config, ports, ask):
    """Version 1 serves, and the rule is the opposite since."""
    retrain(config, ports, ask("first"))
    write(config.folder, rows_between(T0, T0 + 40 * HOUR, flip=True))
    short = {"window": config.training.window.model_copy(update={"length": 11 * HOUR})}
    ports.clock.advance(12 * HOUR)
    ports.notifier.sent.clear()
    return config.model_copy(update={"training": config.training.model_copy(update=short)})


def run(config, ports, request):
    """Run the steps up to the end of the probe."""
    assemble(config, request, ports)
    train(config, request.run_key, ports)
    return conclude_probe(config, request.run_key, ports)


def test_a_retrain_that_does_not_pay_ends_after_its_probe(config, ports, ask, stable):
    window_end = T0 + 12 * HOUR
    request = ask("run 2", reason="probe_due", trigger_id=f"sample/{window_end.isoformat()}")
    found = run(config, ports, request)
    assert found["proceeds"] is False
    assert "With the probe, a retrain does not pay yet: expected gain" in found["sentence"]
    assert found["sentence"].endswith("Version 1 stays champion.")
    with pytest.raises(Superseded, match="does not pay"):
        validate(config, request.run_key, ports)
    ended = finalize(config, request.run_key, ports)
    assert (ended["outcome"], ended["stage"], ended["sentence"]) == (
        "not_worthwhile",
        "probe",
        found["sentence"],
    )
    assert ports.ledger.lease_holder("sample", ports.clock.now()) is None
    assert [each.version for each in ports.registry.versions("sample")] == ["1"]
    assert notices(ports) == [], "a probe by the clock is work, not news"
    ports.history.record("sample", fired(window_end), metrics={}, artifacts={})
    ends = past_retrains(ports, "sample", ports.history.windows("sample"))
    assert [each.result for each in ends.values()] == [RetrainResult.NOT_WORTHWHILE]
    trained = load_result(ports.store, "sample", request.run_key, "train")
    run_of = ports.registry.runs[trained["run_id"]]
    assert run_of.tags["homeostat.outcome"] == "not_worthwhile"
    assert run_of.metrics["worth/gap"] == 2.0
    assert {"worth/gain", "worth/expected_gain", "worth/ageing_z", "worth/ageing_cusum"} <= set(
        run_of.metrics
    )


def fired(end):
    return WindowRecord(end, "1", 240, "pass", 0.0, "pass", 0.9, 0.0, fired=True, reason="probe_due")


def test_nothing_but_the_probe_is_fitted_and_it_is_kept(config, ports, ask, stable, monkeypatch):
    fits = []
    original = member_fits.fit
    monkeypatch.setattr(member_fits, "fit", lambda *args: fits.append(len(args[1])) or original(*args))
    request = ask("run 2")
    run(config, ports, request)
    data = load_result(ports.store, "sample", request.run_key, "assemble")
    assert fits == [data["rows"]], "without the newest window"
    assert data["holdout"] == 240
    (probe,) = load_ageing(ports.store, "sample").probes
    bundle = load_version(ports, config, probe.digest)
    assert bundle.manifest["probe"] is True
    assert (probe.champion, probe.paid) == ("1", False)
    assert (probe.learned_until, probe.until) == (T0 + 7 * HOUR, T0 + 11 * HOUR)


def test_a_person_is_told_that_it_does_not_pay(config, ports, ask, stable):
    run(config, ports, ask("run 2", reason="manual"))
    assert notices(ports) == ["not_worthwhile"]
    assert "does not pay now" in ports.notifier.sent[-1][1].title


def test_a_retrain_that_pays_goes_on_to_the_champion(turned, ports, ask):
    request = ask("run 2", reason="probe_due")
    ended = retrain(turned, ports, request)
    assert ended["phase"] == Phase.CHAMPION
    trained = load_result(ports.store, "sample", request.run_key, "train")
    assert trained["probe"]["retrain"]
    assert "With the probe, a retrain pays: expected gain" in trained["sentence"]
    assert trained["holdout_version"] != trained["digest"]
    record = load_ageing(ports.store, "sample")
    assert (record.probed, record.probes[0].paid, record.window) == (1, True, 4 * HOUR)
    (observation,) = record.observations
    assert (observation.champion, observation.gap, observation.members) == ("1", 2.0, "sliding")
    assert observation.gain > 0.8
    info = load_version_info(ports.store, "sample", trained["digest"])
    assert info["members"] == "sliding"


def test_every_step_may_run_twice_and_records_one_probe(config, ports, ask, stable):
    request = ask("run 2")
    first = run(config, ports, request)
    written = ports.store.get("standing/sample/ageing.json")
    ports.store.delete(f"retrain/sample/{request.run_key}/probe.json")  # ended before its result was stored
    assert run(config, ports, request) == first
    assert ports.store.get("standing/sample/ageing.json") == written


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"force": True}, "because Force is set"),
        ({"reason": "performance_decay_critical"}, "because decay is critical"),
        ({"pipeline": "pipeline.py:constant"}, "another pipeline"),
        ({"training_window": "3d"}, "another pipeline or training window"),
    ],
)
def test_what_must_be_trained_is_trained(config, ports, ask, stable, more, says):
    found = run(config, ports, ask("run 2", **more))
    assert found["proceeds"]
    assert says in found["sentence"]
    assert load_ageing(ports.store, "sample").probed == 1, "the probe is observed all the same"


def test_without_two_windows_of_new_labels_the_rule_does_not_apply(config, ports, ask):
    retrain(config, ports, ask("first"))
    write(config.folder, rows_between(T0, T0 + 40 * HOUR))
    ports.clock.advance(7 * HOUR)
    assert run(config, ports, ask("by hand"))["proceeds"]
    ports.ledger.release_lease("sample", ask("by hand").run_key)
    found = run(config, ports, ask("by the clock", reason="probe_due"))
    assert not found["proceeds"], "it was for the comparison only"
    assert "too few labels" in found["sentence"]
    assert load_ageing(ports.store, "sample").probed == 0


def test_a_missing_champion_bundle_does_not_stop_the_retrain(config, ports, ask, stable):
    digest = ports.registry.version("sample", "1").digest
    for key in ports.store.list(f"bundles/sample/{digest}/"):
        ports.store.delete(key)
    ports.registry.delete("sample", "1")
    request = ask("run 2")
    assemble(config, request, ports)
    trained = train(config, request.run_key, ports)
    assert (trained["probe"], trained["pays"]) == (None, True)


def test_windows_between_two_probes_are_observed_by_the_checks(config, ports, ask, stable):
    run(config, ports, ask("run 2"))
    for hours in range(13, 21):
        ports.clock.advance(HOUR)
        check = check_drift(config, ports, T0 + hours * HOUR)
    assert check["probes"] == 1
    run(config, ports, ask("run 3"))
    record = load_ageing(ports.store, "sample")
    assert record.probed == 2
    hours = [(each.end - T0) / HOUR for each in record.observations]
    assert hours == [11, 15, 19], "probe, four hours of checks, and the second probe"
    assert [each.gap for each in record.observations] == [2.0, 2.0, 4.0]
    assert json.loads(ports.store.get("standing/sample/steps.json"))["steps"]


def test_a_check_fires_for_a_probe_and_waits_two_windows_for_the_next(config, ports, ask, stable):
    ports.clock.advance(-12 * HOUR)
    fired = []
    for hours in range(1, 37):
        ports.clock.advance(HOUR)
        check = check_drift(config, ports, T0 + hours * HOUR)
        if check["fired"]:
            fired.append((hours, check["reason"]))
            run(config, ports, ask(f"at {hours}", reason=check["reason"], trigger_id=check["trigger_id"]))
    assert fired == [(8, "probe_due"), (16, "probe_due"), (24, "probe_due"), (32, "probe_due")]
    assert {"unlearned_windows", "expected_gain", "probes"} <= set(check)
    assert check["probes"] == 4
    assert "trigger_fired" not in notices(ports)


def test_the_baseline_is_the_mean_of_the_last_probes(ports, stable_baseline):
    scores = stable_baseline
    record = load_ageing(ports.store, "sample")
    recent = [each for each in record.probes if each.until > record.probes[-1].until - 16 * HOUR]
    assert len(recent) == 2
    expected = np.average([each.score for each in recent], weights=[each.rows for each in recent])
    assert scores["baseline"]["metrics"]["accuracy"] == pytest.approx(expected)
    assert scores["baseline"]["holdout_rows"] == 480
    assert scores["baseline"]["variance"] >= max(each.variance for each in recent)


@pytest.fixture
def stable_baseline(turned, ports, ask):
    """Two probes, twelve hours apart, of which the second is forced on."""
    run(turned, ports, ask("run 2"))
    ports.ledger.release_lease("sample", ask("run 2").run_key)
    ports.clock.advance(8 * HOUR)
    request = ask("run 3", force=True)
    run(turned, ports, request)
    return validate(turned, request.run_key, ports)


def test_the_reference_covers_more_than_the_newest_window(config, ports, ask, stable):
    request = ask("run 2", force=True)
    run(config, ports, request)
    data = load_result(ports.store, "sample", request.run_key, "assemble")
    digest = load_result(ports.store, "sample", request.run_key, "train")["digest"]
    reference = load_version(ports, config, digest).reference
    whole = round(config.training.holdout * (data["rows"] + data["holdout"]))
    assert reference.profile.rows == whole > data["holdout"]
    confidence = reference.profile.features["confidence"]
    assert confidence.missing == whole - data["holdout"]
    assert reference.profile.features["prediction"].missing == 0


# Regression, and a class that vanishes


def test_gains_of_a_regression_are_parts_of_the_first_versions_error(folder, ports, ask):
    text = MODEL.replace("task: classification", "task: regression") + "serve: none\n"
    assert "task: regression" in text
    (folder / "model.yaml").write_text(text)
    (folder / "pipeline.py").write_text(
        "from sklearn.compose import make_column_transformer\n"
        "from sklearn.linear_model import LinearRegression\n"
        "from sklearn.pipeline import make_pipeline\n\n\n"
        "def build():\n"
        '    return make_pipeline(make_column_transformer(("passthrough", ["a", "b"])), LinearRegression())\n'
    )

    def numbers(start, end, level, seed):
        rows = rows_between(start, end)
        rows["y"] = 1000 * (rows["a"] + level + np.random.default_rng(seed).normal(0, 0.1, len(rows)))
        return rows

    before = numbers(T0 - timedelta(days=5), T0, 0.0, 0)
    before.to_csv(folder / "rows.csv", index=False)
    config = load_model(folder)
    retrain(config, ports, ask("first"))
    pd.concat([before, numbers(T0, T0 + 12 * HOUR, 1.0, 1)]).to_csv(folder / "rows.csv", index=False)
    ports.clock.advance(12 * HOUR)
    request = ask("run 2")
    run(config, ports, request)
    record = load_ageing(ports.store, "sample")
    info = load_version_info(ports.store, "sample", ports.registry.version("sample", "1").digest)
    assert record.scale == pytest.approx(info["metrics"]["mae"])
    assert 0 < record.observations[0].gain < 20, "in errors of about 80, not in thousands"


def test_a_class_that_vanishes_is_no_error(config, ports, ask):
    retrain(config, ports, ask("first"))
    rows = rows_between(T0, T0 + 12 * HOUR)
    write(config.folder, rows[(rows["y"] == 1) | (rows["at"] < T0 + 4 * HOUR)])
    ports.clock.advance(12 * HOUR)
    found = run(config, ports, ask("run 2"))
    assert "sentence" in found
    assert load_ageing(ports.store, "sample").probed == 1


def test_a_metric_that_is_not_accuracy_decides_by_the_same_losses(folder, ports, ask):
    text = MODEL.replace("gate: {", "gate: {metric: roc_auc, ") + "serve: none\n"
    (folder / "model.yaml").write_text(text)
    config = load_model(folder)
    retrain(config, ports, ask("first"))
    write(folder, rows_between(T0, T0 + 12 * HOUR))
    ports.clock.advance(12 * HOUR)
    request = ask("run 2", force=True)
    run(config, ports, request)
    scores = validate(config, request.run_key, ports)
    assert scores["candidate"]["drop_error"] is not None
    assert load_ageing(ports.store, "sample").probes[0].metric == config.served_metric_title
