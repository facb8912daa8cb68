"""The story of a version is read from the Store and the ledger: why, gate, rollout and end."""

from datetime import timedelta

import pytest

from homeostat.config.errors import NotFound
from homeostat.explain import explain_retrain, explain_window, read_retrain, read_window, retrain_of_version
from homeostat.explain.records import RetrainRecord
from homeostat.monitoring.drift_check import check_drift
from homeostat.rollouts.manual import manual_promote, manual_rollback
from homeostat.storage.retrain_request import RetrainRequest
from sample_model import T0, retrain, rows_between, serve

pytestmark = pytest.mark.usefixtures("quick")
HOUR = timedelta(hours=1)


def section(story, heading):
    return next((s.lines for s in story.sections if s.heading == heading), ())


@pytest.mark.parametrize(
    ("dag_run", "lines"),
    [("manual__2", ["Airflow run: manual__2"]), ("cli__0af3", []), ("-", []), ("", [])],
)
def test_only_a_run_of_airflow_is_called_so(dag_run, lines):
    request = RetrainRequest("0af3", "manual/0af3", dag_run)
    why = section(explain_retrain(RetrainRecord("sample", "0af3", request=request)), "Why it was trained")
    assert [line for line in why if "Airflow" in line] == lines


@pytest.fixture
def decayed(config, ports, champion, folder):
    """The check of a window whose labels are all wrong: it fires."""
    serve(config, ports, rows_between(T0, T0 + 4 * HOUR, flip=True))
    ports.clock.advance(5 * HOUR)
    rows_between(T0 - 5 * 24 * HOUR, T0 + 4 * HOUR, flip=True).to_csv(folder / "rows.csv", index=False)
    return check_drift(config, ports, T0 + 4 * HOUR)


def test_a_window_that_fired_says_what_its_retrain_came_to(config, ports, decayed, ask):
    request = ask("run 2", trigger_id=decayed["trigger_id"], reason=decayed["reason"])
    retrain(config, ports, request, to_the_end=False)
    check, before, found = read_window(ports.store, ports.ledger, "sample", None)
    story = explain_window("sample", check, before=before, retrain=found)
    said = section(story, "What the retrain came to")
    assert said == ("It is under way.", "Its whole story: homeostat explain sample 2")
    manual_rollback("sample", ports.ledger, reason="tests", by="me", at=ports.clock.now())
    from homeostat.rollouts.lifecycle import finalize

    finalize(config, request.run_key, ports)
    check, before, found = read_window(ports.store, ports.ledger, "sample", T0 + 4 * HOUR)
    said = section(explain_window("sample", check, before=before, retrain=found), "What the retrain came to")
    assert said[0].startswith("refused: sample version 2 was refused")
    assert "rolled back by me: tests" in said[0]


def test_a_version_says_why_it_was_trained_what_the_gate_found_and_how_it_ended(config, ports, decayed, ask):
    request = ask("run 2", trigger_id=decayed["trigger_id"], reason=decayed["reason"])
    retrain(config, ports, request, to_the_end=False)
    manual_rollback("sample", ports.ledger, reason="tests", by="me", at=ports.clock.now())
    story = explain_retrain(retrain_of_version(ports.store, ports.ledger, "sample", "2"))
    assert story.word == "rolled_back"
    assert "rolled back by me: tests" in story.sentence
    assert story.sentence.endswith("Version 1 stays champion.")
    why = section(story, "Why it was trained")
    assert why[0].startswith(f"{decayed['reason']}: Decay")
    assert "homeostat explain sample 2026-03-02T04:00Z" in why[1]
    assert section(story, "Gate")[0].startswith("The gate passed: accuracy")
    assert len(section(story, "Gate")) == 7
    assert [line.split()[3] for line in section(story, "Rollout")] == ["begun:", "rolled_back:"]
    assert section(story, "As champion") == ()


def test_the_champion_says_its_baseline(config, ports, champion, ask):
    story = explain_retrain(retrain_of_version(ports.store, ports.ledger, "sample", "1"))
    assert story.word == "champion"
    assert section(story, "Why it was trained") == ("A person started it.",)
    assert section(story, "As champion")[0].startswith("Its baseline, from its holdout: accuracy 0.9")


def test_each_time_as_champion_is_told_once(config, ports, champion, ask):
    def reigns_of(version):
        return section(
            explain_retrain(retrain_of_version(ports.store, ports.ledger, "sample", version)), "As champion"
        )

    retrain(config, ports, ask("run 2"), to_the_end=False)
    manual_promote(config, ports, "2", by="me", reason="tests")
    reigns = reigns_of("1")
    assert len(reigns) == 2  # its baseline and its time
    assert "was champion from 2026-03-02" in reigns[1]
    assert "version 2 took its place" in reigns[1]
    manual_rollback("sample", ports.ledger, reason="tests", by="me", at=ports.clock.now())
    reigns = reigns_of("1")
    assert [line for line in reigns if "is champion again since" in line] == [reigns[2]]
    assert len(reigns) == 3


def test_a_retrain_that_the_gate_refused_has_no_version_and_its_failed_checks(config, ports, champion, ask):
    strict = config.model_copy(update={"gate": config.gate.model_copy(update={"min_training_rows": 10**6})})
    request = ask("run 2")
    from homeostat.retraining.assemble import assemble
    from homeostat.retraining.gate import gate
    from homeostat.retraining.train import train
    from homeostat.retraining.validate_on_holdout import validate

    assemble(config, request, ports)
    train(config, request.run_key, ports)
    validate(config, request.run_key, ports)
    gate(strict, request.run_key, ports)
    story = explain_retrain(read_retrain(ports.store, ports.ledger, "sample", request.run_key))
    assert story.title == f"sample: retrain {request.run_key}"
    assert story.word == "refused"
    failed = [line for line in section(story, "Gate") if line.startswith("FAIL")]
    assert failed == ["FAIL: training_rows: trained on 6248 rows, gate.min_training_rows is 1000000."]


def test_a_version_whose_record_is_lost_is_told_from_the_ledger(config, ports, champion):
    for key in ports.store.list("retrain/sample"):
        ports.store.delete(key)
    story = explain_retrain(retrain_of_version(ports.store, ports.ledger, "sample", "1"))
    assert story.sentence.startswith("sample version 1 is champion since")
    assert "not in the store" in section(story, "Why it was trained")[0]


def test_a_version_that_never_was_is_an_error(ports, champion):
    with pytest.raises(NotFound, match="sample has no version 9 in the ledger: see homeostat status sample"):
        retrain_of_version(ports.store, ports.ledger, "sample", "9")
    assert read_window(ports.store, ports.ledger, "sample", T0) is None
