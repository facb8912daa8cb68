"""What was in transit when release 0.1 stopped: messages, events, runs, notices, a deferred task."""

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from dags.conftest import airflow_env
from homeostat.config import load_model
from homeostat.ports import Notice, NoticeKind
from homeostat.serving.auth.tokens import TokenEntry
from homeostat.storage.retrain_request import RetrainRequest
from homeostat.storage.trigger_message import decode_trigger
from upgrade.installation import MODELS, RECORDED, recorded_json
from upgrade.renamed import NOTICE_KINDS, REQUEST, renamed

#: Runs in a process of its own, as Airflow is imported there. Prints one line of JSON.
IN_AIRFLOW = """
import json, sys
from types import SimpleNamespace
from importlib import import_module
from homeostat_airflow.operators import CanaryOperator, TriggerRetrainOperator, drift_asset, trigger_event
from homeostat_airflow.rollout_trigger import RolloutTrigger

recorded = json.load(open(sys.argv[1]))
module, _, name = recorded["airflow"]["rollout_trigger"]["classpath"].rpartition(".")
trigger = getattr(import_module(module), name)
waiting = trigger(**recorded["airflow"]["rollout_trigger"]["arguments"])
operator, events = TriggerRetrainOperator(task_id="trigger_retrain", model="pump"), []
for run in recorded["xcoms"]["pump"].values():
    check = run.get("check")
    if check and check["fired"]:
        outlets = {drift_asset("pump"): SimpleNamespace(extra=None)}
        ti = SimpleNamespace(xcom_pull=lambda task_ids, check=check: check)
        operator.execute({"ti": ti, "outlet_events": outlets})
        events.append(outlets[drift_asset("pump")].extra)
conf = recorded["airflow"]["asset_events"][1]["extra"]
print(json.dumps({
    "trigger_is_todays": trigger is RolloutTrigger,
    "arguments": waiting.serialize()[1],
    "watcher": import_module("homeostat_airflow.hearing").QueueTrigger.__module__,
    "resumes": callable(getattr(CanaryOperator, "resume", None)),
    "events": events,
    "conf": trigger_event({"dag_run": SimpleNamespace(conf=conf)}),
    "empty_conf": trigger_event({"dag_run": SimpleNamespace(conf={})}),
}))
"""


@pytest.fixture(scope="session")
def in_airflow(tmp_path_factory):
    """What today's plugin makes of the record, with Airflow imported."""
    done = subprocess.run(
        [sys.executable, "-c", IN_AIRFLOW, str(RECORDED / "messages.json")],
        env=airflow_env(tmp_path_factory.mktemp("airflow")),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def messages(*path):
    value = recorded_json("messages.json")
    for name in path:
        value = value[name]
    return value


def test_messages_on_the_queue_are_read():
    for body in (*messages("queue_bodies"), messages("queue_body_of_a_recall")):
        assert asdict(decode_trigger(body, MODELS)) == renamed(json.loads(body), REQUEST)


def test_a_message_about_a_former_champion_reinstates_it():
    found = decode_trigger(messages("queue_body_of_a_recall"), MODELS)
    assert (found.reason, found.reinstate) == ("former_version_fits", "1")


@pytest.mark.parametrize("n", [0, 1])
def test_asset_events_start_the_same_retrain(n):
    event = messages("airflow", "asset_events")[n]["extra"]
    request = RetrainRequest.of(run_key="key", dag_run="run", params={}, event=event)
    assert request.trigger_id == event["trigger_id"]
    assert (request.until, request.reason) == (event["window_end"], event["reason"])
    assert request.reinstate == event["recall"]


def test_a_check_that_fired_before_the_upgrade_starts_its_retrain(in_airflow):
    extras = [event["extra"] for event in messages("airflow", "asset_events")]
    assert in_airflow["events"] == renamed(extras, REQUEST)


def test_a_run_that_was_queued_before_the_upgrade_keeps_its_request(in_airflow):
    conf = messages("airflow", "asset_events")[1]["extra"]
    assert conf["recall"] == "1"
    assert in_airflow["conf"] == renamed(conf, REQUEST)
    assert in_airflow["empty_conf"] == {}


def test_a_deferred_rollout_is_resumed_by_todays_trigger(in_airflow):
    assert in_airflow["trigger_is_todays"]
    written = messages("airflow", "rollout_trigger", "arguments")
    assert in_airflow["arguments"] == {**written, "homeostat_conn_id": "homeostat_default"}
    assert in_airflow["resumes"]


def test_the_old_path_of_the_queues_watcher_still_imports(in_airflow):
    assert in_airflow["watcher"] == "homeostat_airflow.sqs_consumer"


def test_notices_are_read_and_their_kinds_known():
    for raw in messages("notices"):
        notice = Notice.from_json({name: raw[name] for name in ("kind", "model", "title", "body")})
        assert notice.kind == NOTICE_KINDS.get(raw["kind"], raw["kind"])
    for old, new in NOTICE_KINDS.items():
        assert NoticeKind(old) == new


def test_token_entries_are_read():
    entry = TokenEntry.model_validate(messages("token_entry"))
    assert entry.sha256 == hashlib.sha256(b"a-token-for-labels").hexdigest()
    assert entry.scopes == ["label"]


@pytest.mark.parametrize("model", MODELS)
def test_model_yaml_is_read(recorded, model):
    assert load_model(recorded.folder / "models" / model) == recorded.configs[model]


@pytest.mark.parametrize(("old", "new"), [("told", "warn"), ("required", "enforce")])
def test_the_old_words_of_training_parity_are_read(copy, old, new):
    path = copy.folder / "models" / "well" / "model.yaml"
    path.write_text(path.read_text().replace("training: {", f"training: {{parity: {old}, "))
    assert load_model(path.parent).training.parity == new
